"""The filters and tests a prompt may use. Each gets the allowance first, then the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from inspect import signature
from typing import Any

from scheduling.prompting.values import (
    MAX_TEXT,
    Allowance,
    Missing,
    PromptFault,
    given,
    is_number,
    named,
    number,
)

Filter = Callable[..., Any]
DIRECTIVES = "aAbBdFGHIjmMpSTuVwyYzZ%"
UNKNOWN_DIRECTIVE = re.compile(rf"%(?![{DIRECTIVES}])")
LONGEST_FORMAT = 200
LONGEST_NUMBER = 18
FARTHEST_DAYS = 36_600
MOST_DIGITS = 10


def format_fault(pattern: Any) -> str | None:
    """What is wrong with the format of a date."""
    if not isinstance(pattern, str) or len(pattern) > LONGEST_FORMAT:
        return f"The format of a date is text of at most {LONGEST_FORMAT} characters."
    found = UNKNOWN_DIRECTIVE.search(pattern)
    if found:
        unknown = pattern[found.start() : found.start() + 2]
        return f"“{unknown}” means nothing in a date. Use those of {_listed_directives()}."
    return None


def _listed_directives() -> str:
    return " ".join(f"%{one}" for one in DIRECTIVES)


def _made(allowance: Allowance, made: str) -> str:
    allowance.pay(len(made))
    return made


def _upper(allowance: Allowance, value: Any) -> str:
    return _made(allowance, allowance.text(value).upper())


def _lower(allowance: Allowance, value: Any) -> str:
    return _made(allowance, allowance.text(value).lower())


def _capitalize(allowance: Allowance, value: Any) -> str:
    return _made(allowance, allowance.text(value).capitalize())


def _title(allowance: Allowance, value: Any) -> str:
    return _made(allowance, allowance.text(value).title())


def _trim(allowance: Allowance, value: Any) -> str:
    return allowance.text(value).strip()


def _replace(allowance: Allowance, value: Any, old: Any, new: Any) -> str:
    read, sought, put = (allowance.text(one) for one in (value, old, new))
    if not sought:
        raise PromptFault("“replace” is to be told which text it replaces.")
    # What it will be is known before it is made.
    allowance.pay(len(read) + read.count(sought) * max(0, len(put) - len(sought)))
    return read.replace(sought, put)


def _truncate(allowance: Allowance, value: Any, length: Any) -> str:
    read, most = allowance.text(value), number(length, "“truncate”")
    if not isinstance(most, int) or not 1 <= most <= MAX_TEXT:
        raise PromptFault(f"“truncate” takes a whole number from 1 to {MAX_TEXT:,}.")
    return read if len(read) <= most else f"{read[: most - 1]}…"


def _length(allowance: Allowance, value: Any) -> int:
    if not isinstance(given(value), str | list | Mapping):
        raise PromptFault(f"“length” takes text or a list, and this is {named(value)}.")
    return len(value)


def _default(allowance: Allowance, value: Any, otherwise: Any = "", boolean: Any = False) -> Any:
    empty = isinstance(value, Missing) or value is None or (boolean and not value)
    return otherwise if empty else value


def _join(allowance: Allowance, value: Any, between: Any = "") -> str:
    words = [allowance.text(one) for one in _list(value, "join")]
    comma = allowance.text(between)
    allowance.pay(sum(map(len, words)) + len(comma) * len(words))
    return comma.join(words)


def _first(allowance: Allowance, value: Any) -> Any:
    found = _list(value, "first")
    return found[0] if found else Missing("“first” was used on a list with nothing in it.")


def _last(allowance: Allowance, value: Any) -> Any:
    found = _list(value, "last")
    return found[-1] if found else Missing("“last” was used on a list with nothing in it.")


def _items(allowance: Allowance, value: Any) -> list[list[Any]]:
    if not isinstance(given(value), Mapping):
        raise PromptFault(f"“items” takes an object, and this is {named(value)}.")
    allowance.pay(len(value))
    return [[name, one] for name, one in value.items()]


def _round(allowance: Allowance, value: Any, digits: Any = 0) -> int | float:
    places = number(digits, "“round”")
    if not isinstance(places, int) or not 0 <= places <= MOST_DIGITS:
        raise PromptFault(f"“round” takes a whole number of digits from 0 to {MOST_DIGITS}.")
    return round(number(value, "“round”"), places or None)


def _int(allowance: Allowance, value: Any) -> int:
    if isinstance(given(value), str):
        digits = value.strip()
        if not re.fullmatch(rf"[+-]?[0-9]{{1,{LONGEST_NUMBER}}}", digits):
            raise PromptFault("“int” was used on text that is no whole number.")
        return int(digits)
    return int(number(value, "“int”"))


def _abs(allowance: Allowance, value: Any) -> int | float:
    return abs(number(value, "“abs”"))


def _tojson(allowance: Allowance, value: Any) -> str:
    return _made(allowance, allowance.text([given(value)])[1:-1])


def _date(allowance: Allowance, value: Any, pattern: Any = "%Y-%m-%d") -> str | None:
    if value is None:
        return None
    fault = format_fault(pattern)
    if fault:
        raise PromptFault(fault)
    return _made(allowance, _time(value, "date").strftime(pattern))


def _plus_days(allowance: Allowance, value: Any, days: Any) -> datetime | None:
    if value is None:
        return None
    count = number(days, "“plus_days”")
    if not isinstance(count, int) or abs(count) > FARTHEST_DAYS:
        raise PromptFault(f"“plus_days” takes a whole number of at most {FARTHEST_DAYS:,} days.")
    try:
        return _time(value, "plus_days") + timedelta(days=count)
    except OverflowError:
        raise PromptFault("“plus_days” would leave the calendar.") from None


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(given(value), list):
        raise PromptFault(f"“{what}” takes a list, and this is {named(value)}.")
    found: list[Any] = value
    return found


def _time(value: Any, what: str) -> datetime:
    if not isinstance(given(value), datetime):
        raise PromptFault(f"“{what}” takes a time, and this is {named(value)}.")
    found: datetime = value
    return found


FILTERS: dict[str, Filter] = {
    "abs": _abs,
    "capitalize": _capitalize,
    "date": _date,
    "default": _default,
    "first": _first,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": _lower,
    "plus_days": _plus_days,
    "replace": _replace,
    "round": _round,
    "title": _title,
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
}
# null counts as having no value.
TESTS: dict[str, Callable[[Any], bool]] = {
    "defined": lambda value: value is not None and not isinstance(value, Missing),
    "undefined": lambda value: value is None or isinstance(value, Missing),
    "none": lambda value: value is None or isinstance(value, Missing),
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "sequence": lambda value: isinstance(value, list),
    "mapping": lambda value: isinstance(value, Mapping),
}


def takes(name: str, positional: int, keywords: list[str]) -> bool:
    """Whether a filter can be called with so many arguments beside the value, and those names."""
    try:
        signature(FILTERS[name]).bind(None, None, *[None] * positional, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True
