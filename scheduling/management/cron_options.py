"""The options of `palyra cron add` and `update`: one for each field of a scheduled prompt."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from django.db import models

from governance.models import Channel, Team
from scheduling.jobs import EDITABLE
from scheduling.management.cron_finding import NotFound, calendars_named, channels_named
from scheduling.models import CronJob, DeliverOn, ExclusionCalendar, ScheduleKind

NONE = "none"
# What says when it runs, and the kind of schedule that makes.
KINDS = {
    "cron": ScheduleKind.CRON.value,
    "every_seconds": ScheduleKind.EVERY.value,
    "at": ScheduleKind.AT.value,
}
TIMING = (*KINDS, "zone", "starts_at", "ends_at", "max_runs", "jitter_seconds")
# These follow from others, or are given one by one.
APART = {"schedule_kind", "parameters"}
FLAGS = {
    "calendars": "--calendar",
    "deliveries": "--deliver",
    "parameters": "--parameter",
    "paused_reason": "--reason",
    "reason": "--reason",
    "zones": "--in",
}
WHEN = "Say when it runs, in one way: with --cron, --every-seconds or --at."


@dataclass(slots=True)
class Given:
    """What the options say: changed fields, and by field what cannot be understood."""

    changes: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_timed(self) -> bool:
        """Whether it was said when it is to run, however well."""
        return "schedule_kind" in self.changes or "schedule_kind" in self.faults

    def take(self, name: str, read: Callable[[], Any]) -> None:
        """Have what `read` gives as a field, or what keeps it from being read as its fault."""
        try:
            self.changes[name] = read()
        except (ValueError, NotFound) as fault:
            self.faults[name] = [str(fault)]


def fields() -> set[str]:
    """The fields that have an option each."""
    return set(EDITABLE - APART)


def flag_of(name: str) -> str:
    """How a field is given on the command line; nothing for what is no field."""
    if name in FLAGS:
        return FLAGS[name]
    return f"--{name.replace('_', '-')}" if name in fields() else ""


def add_field_options(parser: ArgumentParser, *, names: Iterable[str] | None = None) -> None:
    """Take options for the fields, or for some of them."""
    wanted = fields() if names is None else set(names)
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
        help=f"tell a channel of runs; WHEN is one of {reasons}; repeatable; {NONE}: tell none",
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
        is_given = options.get(one.name) is not None or options.get(f"{one.name}_file") is not None
        if one.name in fields() and is_given:
            given.take(one.name, partial(_read, one, options))
    named = [name for name in KINDS if name in given.changes or name in given.faults]
    if len(named) > 1:
        given.faults["schedule_kind"] = [WHEN]
    elif named:
        given.changes["schedule_kind"] = KINDS[named[0]]
    return given


def read_companions(
    given: Given, options: Mapping[str, Any], team: Team, parameters: Mapping[str, Any]
) -> None:
    """Add what goes with a job of `team`, whose parameters so far are these."""
    if options["parameter"] or options["without_parameter"]:
        given.take("parameters", lambda: _merged(parameters, options))
    if options["calendar"]:
        given.take("calendars", lambda: read_calendars(options, team))
    if options["deliver"]:
        given.take("deliveries", lambda: _read_deliveries(options["deliver"], team))


def read_calendars(options: Mapping[str, Any], team: Team | None) -> list[ExclusionCalendar]:
    """The calendars that were named, of those a team may use. Raises `NotFound`."""
    names = options["calendar"] or []
    return [] if names == [NONE] else calendars_named(names, team)


def _merged(parameters: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    left_out = set(options["without_parameter"] or ())
    unknown = left_out - parameters.keys()
    if unknown:
        raise ValueError(f"It has no parameter {', '.join(sorted(unknown))}.")
    kept = {name: value for name, value in parameters.items() if name not in left_out}
    return {**kept, **read_parameters(options)}


def _read_deliveries(pairs: Sequence[str], team: Team) -> list[tuple[Channel, str]]:
    if list(pairs) == [NONE]:
        return []
    apart = [pair.partition("=") for pair in pairs]
    for pair, (_, sign, _name) in zip(pairs, apart, strict=True):
        if not sign:
            raise ValueError(f"“{pair}” is no WHEN=CHANNEL.")
    channels = channels_named([name.strip() for _, _, name in apart], team)
    return [(channel, when.strip()) for channel, (when, _, _) in zip(channels, apart, strict=True)]


def read_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given, by name. Raises `ValueError`."""
    found = {}
    for pair in options["parameter"] or ():
        name, sign, text = pair.partition("=")
        if not sign:
            raise ValueError(f"“{pair}” is no NAME=VALUE.")
        found[name.strip()] = _parameter(text)
    return found


def _read(one: models.Field[Any, Any], options: Mapping[str, Any]) -> Any:
    """The value of a field, given itself or in a file. Raises `ValueError`."""
    value, path = options.get(one.name), options.get(f"{one.name}_file")
    if path is not None and value is not None:
        raise ValueError("Give it itself or in a file, and not both.")
    text = value if path is None else _content(path)
    if not isinstance(text, str):
        return text
    if _may_be_without(one) and text.strip().lower() == NONE:
        return None if one.null else ""
    return _reader(one)(text)


def _may_be_without(one: models.Field[Any, Any]) -> bool:
    return one.null or bool(one.choices and one.blank)


def _content(path: str) -> str:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8.") from None
    return text.removesuffix("\n")


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
    called, explained = str(one.verbose_name), str(one.help_text).rstrip(".")
    own = called.replace(" ", "_") != one.name
    words = [": ".join(part for part in (called if own else "", explained) if part) or called]
    if one.choices:
        words.append(f"one of {', '.join(str(value) for value, _ in one.flatchoices)}")
    if _may_be_without(one) and one.name not in KINDS:
        words.append(f"“{NONE}” for without")
    return "; ".join(words).replace("%", "%%")
