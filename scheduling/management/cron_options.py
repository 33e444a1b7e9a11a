"""The options of `palyra cron add` and `update`: one for each field of a scheduled prompt."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from django.db import models

from scheduling.jobs import EDITABLE
from scheduling.models import CronJob, DeliverOn, ScheduleKind

NONE = "none"
# What says when it runs, and the kind of schedule that makes.
KINDS = {
    "cron": ScheduleKind.CRON.value,
    "every_seconds": ScheduleKind.EVERY.value,
    "at": ScheduleKind.AT.value,
}
TIMING = ("cron", "every_seconds", "at", "zone", "starts_at", "ends_at", "jitter_seconds")
# These follow from others, or are given one by one.
APART = {"schedule_kind", "parameters"}
FLAGS = {"calendars": "--calendar", "deliveries": "--deliver", "parameters": "--parameter"}
WHEN = "Say when it runs, in one way: with --cron, --every-seconds or --at."


@dataclass(slots=True)
class Given:
    """What the options say: changed fields, and by field what cannot be understood."""

    changes: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)


def flag_of(name: str) -> str:
    """How a field is given on the command line; nothing for what is no field."""
    if name in FLAGS:
        return FLAGS[name]
    return f"--{name.replace('_', '-')}" if name in EDITABLE - APART else ""


def add_field_options(parser: ArgumentParser, *, names: Iterable[str] | None = None) -> None:
    """Take options for the fields, or for some of them."""
    wanted = EDITABLE - APART if names is None else set(names)
    for one in CronJob._meta.concrete_fields:
        if one.name not in wanted:
            continue
        if isinstance(one, models.BooleanField):
            parser.add_argument(
                flag_of(one.name), action=BooleanOptionalAction, default=None, help=_help(one)
            )
            continue
        parser.add_argument(flag_of(one.name), metavar=_metavar(one), help=_help(one))
        if isinstance(one, models.TextField | models.JSONField):
            parser.add_argument(
                f"{flag_of(one.name)}-file",
                metavar="FILE",
                help="the same from a file; - for what comes in",
            )


def add_companions(parser: ArgumentParser) -> None:
    """Take what goes with a job: parameters, calendars and deliveries."""
    add_parameters(parser)
    parser.add_argument(
        "--without-parameter", action="append", metavar="NAME", help="have it no more"
    )
    add_calendars(parser)
    reasons = ", ".join(DeliverOn.values)
    parser.add_argument(
        "--deliver",
        action="append",
        metavar="WHEN=CHANNEL",
        help=f"tell a channel of runs; WHEN is one of {reasons}; may be repeated; {NONE}: tell none",
    )


def add_parameters(parser: ArgumentParser) -> None:
    """Take parameters of the prompt."""
    parser.add_argument(
        "--parameter",
        action="append",
        metavar="NAME=VALUE",
        help="a value for the prompt; JSON if it can be read as such, else text; may be repeated",
    )


def add_calendars(parser: ArgumentParser) -> None:
    """Take the names of calendars."""
    parser.add_argument(
        "--calendar",
        action="append",
        metavar="NAME",
        help=f"do not run on its days; may be repeated; {NONE}: run on all days",
    )


def read_fields(options: Mapping[str, Any]) -> Given:
    """The fields that were given, as the services take them."""
    given = Given()
    for one in CronJob._meta.concrete_fields:
        if one.name not in EDITABLE - APART:
            continue
        try:
            text = _text(one, options)
            if text is not None:
                given.changes[one.name] = _value(one, text)
        except ValueError as fault:
            given.faults[one.name] = [str(fault)]
    named = [name for name in KINDS if name in given.changes or name in given.faults]
    if len(named) > 1:
        given.faults["schedule_kind"] = [WHEN]
    elif named:
        given.changes["schedule_kind"] = KINDS[named[0]]
    return given


def read_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given, by name. Raises `ValueError`."""
    found = {}
    for pair in options.get("parameter") or ():
        name, sign, text = pair.partition("=")
        if not sign:
            raise ValueError(f"“{pair}” is no NAME=VALUE.")
        found[name.strip()] = _parameter(text)
    return found


def read_pairs(pairs: Iterable[str]) -> list[tuple[str, str]]:
    """`WHEN=CHANNEL` apart. Raises `ValueError`."""
    apart = [tuple(part.strip() for part in pair.partition("=")) for pair in pairs]
    for when, sign, channel in apart:
        if not sign:
            raise ValueError(f"“{when}{channel}” is no WHEN=CHANNEL.")
    return [(when, channel) for when, _, channel in apart]


def is_none(names: Iterable[str]) -> bool:
    """Whether a repeated option says that there is to be nothing."""
    return list(names) == [NONE]


def _text(one: models.Field[Any, Any], options: Mapping[str, Any]) -> Any:
    """What was given for a field, itself or in a file; None if nothing was."""
    text, path = options.get(one.name), options.get(f"{one.name}_file")
    if path is None:
        return text
    if text is not None:
        raise ValueError("Give it itself or in a file, and not both.")
    return _content(path)


def _content(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8.") from None


def _value(one: models.Field[Any, Any], text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if one.null and text.strip().lower() == NONE:
        return None
    return _reader(one)(text)


def _reader(one: models.Field[Any, Any]) -> Callable[[str], Any]:
    if isinstance(one, models.IntegerField):
        return _whole
    if isinstance(one, models.DateTimeField):
        return _moment
    return _json if isinstance(one, models.JSONField) else str


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("Give a whole number.") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            "Give a time such as 2026-03-01T09:00, as clocks in the job's zone show it, or with an "
            "offset."
        ) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"It is no JSON: {error}.") from None


def _parameter(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def _metavar(one: models.Field[Any, Any]) -> str:
    if isinstance(one, models.IntegerField):
        return "NUMBER"
    if isinstance(one, models.DateTimeField):
        return "TIME"
    return "JSON" if isinstance(one, models.JSONField) else "TEXT"


def _help(one: models.Field[Any, Any]) -> str:
    words = [str(one.help_text).rstrip(".").lower() if one.help_text else str(one.verbose_name)]
    if one.choices:
        words.append(f"one of {', '.join(str(value) for value, _ in one.flatchoices)}")
    if one.null and one.name not in KINDS:
        words.append(f"{NONE}: no such")
    return "; ".join(words).replace("%", "%%")
