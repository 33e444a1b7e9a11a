"""Prompts with variables: how they are filled in, and what can be said against one beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduling.prompting import reading
from scheduling.prompting.evaluating import fill_in
from scheduling.prompting.values import MAX_NUMBER, MAX_TEXT, PromptFault, too_long
from scheduling.storable_text import UNSTORABLE

__all__ = ["PromptContext", "PromptFault", "faults", "literal", "parameter_faults", "render"]

MOST_PARAMETERS = 50
LONGEST_PARAMETERS = 20_000
DEEPEST_PARAMETER = 8
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptContext:
    """What a prompt may speak of. Times are aware, in the job's zone.

    `previous_output` and `previous_at` are of the last run that succeeded, None before there is
    one. Of a longer answer the first 100,000 characters can be used.
    """

    now: datetime
    scheduled_at: datetime
    job_name: str
    team_name: str
    previous_output: str | None = None
    previous_at: datetime | None = None
    parameters: Mapping[str, Any]


def render(text: str, context: PromptContext) -> str:
    """The text with its variables filled in; one without any is given back as it is.

    It takes some 50 ms at most, whatever is in it. Raises `PromptFault`.
    """
    made = text
    if reading.is_template(text):
        made = fill_in(reading.parse(text), _names(context))
    if UNSTORABLE.search(made):
        raise PromptFault("The prompt has the character NUL or half a character in it.")
    if len(made) > MAX_TEXT:
        raise PromptFault(too_long())
    return made


def literal(text: str) -> str:
    """A template that says `text` as it is: what looks like a tag in it fills nothing in."""
    return reading.TAG.sub(lambda found: f"{{{{ '{found[0]}' }}}}", text)


def faults(text: str) -> list[str]:
    """What can be said against a prompt before it is filled in, a sentence each.

    Which parameters there will be is not known then: one without a value is a fault of the run.
    """
    if UNSTORABLE.search(text):
        return ["The prompt has the character NUL or half a character in it."]
    return reading.faults(text) if reading.is_template(text) else []


def parameter_faults(value: Any) -> list[str]:
    """What is wrong with a job's or a run's parameters, a sentence each."""
    if not isinstance(value, Mapping):
        return ["Parameters are an object: names and their values."]
    if _is_nested(value):
        return [f"Parameters are nested more than {DEEPEST_PARAMETER} deep."]
    found = [
        f"“{str(name)[:64]}” is no name: letters, digits and underscores, at most 64."
        for name in list(value)[:MOST_PARAMETERS]
        if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name)
    ]
    if len(value) > MOST_PARAMETERS:
        found.append(f"There are at most {MOST_PARAMETERS} parameters.")
    return found + _content_faults(value)


def _content_faults(value: Any) -> list[str]:
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return ["Parameters have to be JSON, and their numbers numbers."]
    if len(written) > LONGEST_PARAMETERS:
        return [f"Parameters have at most {LONGEST_PARAMETERS:,} characters as JSON."]
    found = []
    leaves = list(_leaves(value))
    if any(isinstance(one, str) and UNSTORABLE.search(one) for one in leaves):
        found.append("A parameter has the character NUL or half a character in it.")
    numbers = [one for one in leaves if isinstance(one, int | float)]
    if any(not abs(one) <= MAX_NUMBER for one in numbers):
        found.append("A parameter's number is too large.")
    return found


def _is_nested(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST_PARAMETER):
        level = [inner for one in level for inner in _inner(one)][: LONGEST_PARAMETERS + 1]
    return bool(level)


def _inner(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _leaves(value: Any) -> list[Any]:
    """Everything within that holds nothing else, and all names."""
    found: list[Any] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            found += one.keys()
        inner = _inner(one)
        waiting += inner
        if not inner:
            found.append(one)
    return found


def _names(context: PromptContext) -> dict[str, Any]:
    output = context.previous_output
    return {
        "now": context.now,
        "scheduled_at": context.scheduled_at,
        "previous": {
            "output": None if output is None else output[:MAX_TEXT],
            "at": context.previous_at,
        },
        "job": context.job_name,
        "team": context.team_name,
        "parameters": dict(context.parameters),
    }
