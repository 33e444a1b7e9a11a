"""The values of a template, and the allowance that what is done with them is paid from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MAX_TEXT = 100_000
MAX_STEPS = 10_000
MAX_CHARACTERS = 1_000_000
MAX_NUMBER = 10**18
# What anything but text counts as: it is looked at one by one, and text in one go.
VALUE_SIZE = 16


class PromptFault(Exception):
    """Why a prompt cannot be used, in words for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What has no value; `reason` says so to whoever uses it all the same."""

    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(slots=True)
class Allowance:
    """What one rendering may still do. A step is a node of the template looked at once."""

    steps: int = MAX_STEPS
    characters: int = MAX_CHARACTERS

    def step(self) -> None:
        """Pay for a step. Raises `PromptFault` when there is nothing left to pay with."""
        self.steps -= 1
        if self.steps < 0:
            raise PromptFault("The prompt's template does too much. Shorten its loops.")

    def pay(self, characters: int) -> None:
        """Pay for text about to be made or compared. Raises `PromptFault`."""
        if characters > MAX_TEXT:
            raise PromptFault(too_long())
        self.characters -= characters
        if self.characters < 0:
            raise PromptFault(
                f"The prompt's template handles more than {MAX_CHARACTERS:,} characters in all. "
                "Use long texts fewer times."
            )

    def text(self, value: Any) -> str:
        """A value as it appears in the prompt, paid for. Raises `PromptFault`."""
        self.pay(size(value))
        return text(value)


def too_long() -> str:
    """What is said of a text that has grown too long."""
    return (
        f"The prompt would be longer than {MAX_TEXT:,} characters. Shorten what it is filled with, "
        "for example with “|truncate(5000)”."
    )


def size(value: Any) -> int:
    """Roughly how many characters a value is; no more than `MAX_TEXT` are counted, and one."""
    counted, waiting = 0, [value]
    while waiting and counted <= MAX_TEXT:
        one = waiting.pop()
        counted += VALUE_SIZE
        if isinstance(one, str):
            counted += len(one) - VALUE_SIZE
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, Mapping):
            counted += sum(map(len, one))
            waiting += one.values()
    return min(counted, MAX_TEXT + 1)


def given(value: Any) -> Any:
    """`value`, which must not be missing. Raises `PromptFault`."""
    if isinstance(value, Missing):
        raise PromptFault(value.reason)
    return value


def is_number(value: Any) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any, what: str) -> int | float:
    """`value`, which must be a number of a size that can be dealt with. Raises `PromptFault`."""
    if not is_number(given(value)):
        raise PromptFault(f"{what} takes numbers, and {named(value)} is none.")
    # Whole numbers may be too large to be asked whether they are finite.
    if not abs(value) <= MAX_NUMBER:
        raise PromptFault("A number in the prompt's template is too large.")
    found: int | float = value
    return found


def text(value: Any) -> str:
    """A value as it appears in the prompt: nothing for null, lists and objects as JSON.

    Raises `PromptFault` for what is missing.
    """
    given(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list | Mapping):
        return json.dumps(value, ensure_ascii=False, default=text)
    return str(value)


def named(value: Any) -> str:
    """What kind of value it is, in words."""
    if value is None:
        return "nothing"
    kinds = ((bool, "true or false"), (int | float, "a number"), (str, "text"), (list, "a list"))
    for kind, words in kinds:
        if isinstance(value, kind):
            return words
    return "a time" if isinstance(value, datetime) else "an object"
