"""Cron expressions: five fields, read by a grammar of our own, searched by croniter.

Accepted are `*`, `*/n`, `a`, `a-b`, `a-b/n`, lists of them, the names JAN-DEC and SUN-SAT, 0 and 7
for Sunday, and nicknames such as `@daily`. All else is refused with the reason, because croniter
alone would take it and mean something other than cron does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from croniter import CroniterBadDateError, croniter

MAX_LENGTH = 256
FIELD_COUNT = 5
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
LONGEST_MONTHS = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
SUNDAY_AGAIN = 7
ONE_MINUTE = timedelta(minutes=1)


class CronFault(ValueError):
    """The expression cannot be used; `reasons` holds a sentence for each fault."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(self.reasons))


@dataclass(frozen=True, slots=True)
class Place:
    """What one of the five places may hold. `last` is the highest value `*` stands for."""

    title: str
    first: int
    last: int
    highest: int
    names: tuple[str, ...] = ()


PLACES = (
    Place("minute", 0, 59, 59),
    Place("hour", 0, 23, 23),
    Place("day of month", 1, 31, 31),
    Place("month", 1, 12, 12, MONTH_NAMES),
    Place("day of week", 0, 6, SUNDAY_AGAIN, WEEKDAY_NAMES),
)


@dataclass(frozen=True, slots=True)
class CronField:
    """One place as given: its values in order, whether its text begins with `*`, and that text."""

    values: tuple[int, ...]
    starred: bool
    full: bool
    text: str


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A checked expression."""

    minute: CronField
    hour: CronField
    day: CronField
    month: CronField
    weekday: CronField

    @property
    def wildcard(self) -> bool:
        """Whether the job follows real time through clock changes, as cron's wildcard jobs do."""
        return self.minute.starred or self.hour.starred

    @property
    def either_day(self) -> bool:
        """Whether one matching day field is enough; with a `*` in front of either, both must."""
        return not (self.day.starred or self.weekday.starred)

    @property
    def every_day(self) -> bool:
        """Whether no day of a chosen month is left out by the two day fields."""
        if self.either_day:
            return self.day.full or self.weekday.full
        return self.day.full and self.weekday.full

    @property
    def text(self) -> str:
        """The expression for croniter, which tells a full list from `*` less well than cron."""
        day, weekday = ("*", "*") if self.every_day else (self.day.text, self.weekday.text)
        return f"{self.minute.text} {self.hour.text} {day} {self.month.text} {weekday}"


@lru_cache(maxsize=4096)
def parse(expression: str) -> CronExpression:
    """Read an expression or a nickname. Raises `CronFault` with a reason for each fault."""
    texts = _split(expression)
    fields: list[CronField] = []
    reasons: list[str] = []
    for place, text in zip(PLACES, texts, strict=True):
        try:
            fields.append(_field(place, text))
        except CronFault as fault:
            reasons.extend(fault.reasons)
    if reasons:
        raise CronFault(reasons)
    parsed = CronExpression(*fields)
    _refuse_dates_that_never_come(parsed)
    return parsed


def next_label(expression: CronExpression, after: datetime) -> datetime | None:
    """The first local time the expression names after the naive local time `after`."""
    search = copy(_search(expression.text))
    # Whole minutes only: croniter counts in floats, which round the last microseconds up.
    search.set_current(after.replace(second=0, microsecond=0))
    try:
        label: datetime = search.get_next(datetime)
    except (CroniterBadDateError, OverflowError):
        return None
    return label


@lru_cache(maxsize=1024)
def _search(text: str) -> croniter:
    # To be copied: croniter takes longer to read an expression than to find many times.
    return croniter(text, 0.0, implement_cron_bug=True)


def _split(expression: str) -> list[str]:
    text = expression.strip().upper()
    if not text:
        raise CronFault(["Give five fields, such as 0 9 * * MON-FRI."])
    if len(text) > MAX_LENGTH:
        raise CronFault([f"The expression is longer than {MAX_LENGTH} characters."])
    if not text.isascii():
        raise CronFault(["Use plain ASCII characters only."])
    if text.startswith("@"):
        text = _nickname(text)
    texts = text.split()
    if len(texts) != FIELD_COUNT:
        raise CronFault([_wrong_count(len(texts))])
    return texts


def _nickname(text: str) -> str:
    if text == "@REBOOT":
        raise CronFault(["@reboot names no time; a schedule here needs one."])
    if text.startswith("@EVERY"):
        raise CronFault(["For a fixed interval choose the schedule kind “every”, not @every."])
    try:
        return NICKNAMES[text.lower()]
    except KeyError:
        known = ", ".join(sorted(NICKNAMES))
        raise CronFault([f"{text.lower()} is not known. The nicknames are {known}."]) from None


def _wrong_count(count: int) -> str:
    given = f"{count} field{'' if count == 1 else 's'} {'was' if count == 1 else 'were'} given"
    wanted = "five are needed: minute, hour, day of month, month, day of week"
    if count > FIELD_COUNT:
        return f"{given}; {wanted}. There are none for seconds or years."
    return f"{given}; {wanted}."


def _field(place: Place, text: str) -> CronField:
    values: set[int] = set()
    shown: list[str] = []
    reasons: list[str] = []
    for part in text.split(","):
        try:
            found = _part(place, part)
        except CronFault as fault:
            reasons.extend(fault.reasons)
            continue
        values |= found
        shown.append(part if part.startswith("*") else ",".join(map(str, sorted(found))))
    if reasons:
        raise CronFault(reasons)
    return CronField(
        values=tuple(sorted(values)),
        starred=text.startswith("*"),
        full=len(values) == place.last - place.first + 1,
        text=",".join(shown),
    )


def _part(place: Place, text: str) -> set[int]:
    body, slash, step_text = text.partition("/")
    step = _step(place, text, step_text) if slash else 1
    if body == "*":
        low, high = place.first, place.last
    else:
        low, high = _bounds(place, body, step_text)
    if slash and step > high - low:
        raise _fault(
            place,
            f"in {text} the step {step} goes past the range {low}-{high}, so that only {low} "
            f"would be left; write {low}",
        )
    values = set(range(low, high + 1, step))
    return {value % SUNDAY_AGAIN for value in values} if place.names is WEEKDAY_NAMES else values


def _bounds(place: Place, body: str, step_text: str) -> tuple[int, int]:
    first, dash, second = body.partition("-")
    low = _number(place, body, first)
    if not dash:
        if step_text:
            instead = f"{first}-{place.last}/{step_text} or */{step_text}"
            raise _fault(place, f"{body}/{step_text} has a step without a range; write {instead}")
        return low, low
    high = _number(place, body, second)
    if low == high:
        raise _fault(place, f"the range {body} has one value; write {first}")
    if low > high:
        around = f"{_span(place, low, place.last)},{_span(place, place.first, high)}"
        raise _fault(place, f"the range {body} runs backwards; write {around}")
    return low, high


def _step(place: Place, text: str, step_text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", step_text):
        raise _fault(place, f"in {text} the step must be a whole number")
    step = int(step_text)
    if step == 0:
        raise _fault(place, f"in {text} the step is 0, which would never move on")
    return step


def _number(place: Place, text: str, word: str) -> int:
    if re.fullmatch(r"[0-9]{1,4}", word):
        number = int(word)
        if not place.first <= number <= place.highest:
            raise _fault(place, f"{number} is outside {place.first}-{place.highest}")
        return number
    if word in place.names:
        return place.names.index(word) + place.first
    raise _fault(place, _why_not(place, text, word))


# Forms of other schedulers, which croniter would take.
_FOREIGN = (
    (re.compile(r".*\?.*"), "“?” is not cron's; write *"),
    (re.compile(r".*#.*"), "“#” (the n-th weekday of a month) is not cron's"),
    (re.compile(r"(H|R)(\(.*\)?)?|.*~.*"), "hashed and random values are not cron's; name a value"),
    (re.compile(r"L|LW|L\d+|\d+L|[A-Z]{3}L"), "“L” (the last) is not cron's"),
    (re.compile(r"\d+W|W\d+|W"), "“W” (the nearest working day) is not cron's"),
)


def _why_not(place: Place, text: str, word: str) -> str:
    for pattern, reason in _FOREIGN:
        if pattern.fullmatch(word):
            return reason if word == text else f"in {text}, {reason}"
    if not word:
        return f"{text} is incomplete" if text else "a value is missing"
    if word in MONTH_NAMES or word in WEEKDAY_NAMES:
        return f"the name {word} does not belong here"
    names = f" or a name from {place.names[0]} to {place.names[-1]}" if place.names else ""
    return f"{word} is not a number from {place.first} to {place.highest}{names}"


def _fault(place: Place, reason: str) -> CronFault:
    return CronFault([f"{place.title.capitalize()}: {reason}."])


def _span(place: Place, low: int, high: int) -> str:
    shown = [
        place.names[value - place.first] if place.names else str(value) for value in (low, high)
    ]
    return shown[0] if low == high else "-".join(shown)


def _refuse_dates_that_never_come(expression: CronExpression) -> None:
    if expression.either_day:
        return  # Every week has the weekday.
    longest = max(LONGEST_MONTHS[month] for month in expression.month.values)
    if min(expression.day.values) > longest:
        day = min(expression.day.values)
        raise CronFault([f"The date never comes: no chosen month has a day {day}."])
