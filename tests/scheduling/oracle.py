"""A second cron, to compare with: it walks the real minutes one by one, as Debian's daemon does.

It shares nothing with the code under test but the zone data: fields are matched by themselves, and
what a clock change skips or repeats is seen by looking at the clock of the minute before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
LONGEST_GAP = timedelta(hours=3)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
WEEKDAY = 4


class Fields:
    """The five fields of an expression, each as the set of values it names."""

    def __init__(self, expression: str) -> None:
        texts = expression.split()
        self.values = [_values(text, place) for place, text in enumerate(texts)]
        self.wildcard = texts[0][0] == "*" or texts[1][0] == "*"
        self.both_days = texts[2][0] == "*" or texts[4][0] == "*"

    def match(self, shown: datetime) -> bool:
        """Whether they name what a clock shows."""
        return shown.minute in self.values[0] and self._match_hour(shown)

    def minutes(self, hour: Hour) -> list[int]:
        """Which of the minutes that clocks show in an hour they name, in order."""
        if not self._match_hour(hour.shown):
            return []
        first = hour.shown.minute
        return sorted(self.values[0] & set(range(first, first + hour.minutes)))

    def _match_hour(self, shown: datetime) -> bool:
        _, hours, days, months, weekdays = self.values
        if shown.hour not in hours or shown.month not in months:
            return False
        on_day, on_weekday = shown.day in days, shown.isoweekday() % 7 in weekdays
        return (on_day and on_weekday) if self.both_days else (on_day or on_weekday)


def _values(text: str, place: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, _, step = part.partition("/")
        first, last = BOUNDS[place]
        if body != "*":
            low, dash, high = body.partition("-")
            first, last = int(low), int(high) if dash else int(low)
        found.update(range(first, last + 1, int(step or 1)))
    return {value % 7 for value in found} if place == WEEKDAY else found


@dataclass(frozen=True)
class Hour:
    """What clocks show without a change in between, at most an hour of it."""

    first: datetime
    shown: datetime
    minutes: int
    again: bool
    skipped: tuple[datetime, ...]


@lru_cache(maxsize=64)
def hours(zone: str, start: datetime, end: datetime) -> tuple[Hour, ...]:
    """The minutes after `start` and up to `end`, walked one by one, hour by hour."""
    where, found = ZoneInfo(zone), list[Hour]()
    instant = start.replace(second=0, microsecond=0) + MINUTE
    before = (instant - MINUTE).astimezone(where)
    while instant <= end:
        now = instant.astimezone(where)
        if found and _goes_on(before, now):
            found[-1] = replace(found[-1], minutes=found[-1].minutes + 1)
        else:
            skipped = tuple(_skipped(before, now))
            found.append(Hour(instant, _naive(now), 1, now.fold == 1, skipped))
        before, instant = now, instant + MINUTE
    return tuple(found)


def _goes_on(before: datetime, now: datetime) -> bool:
    return now.minute != 0 and _naive(now) - _naive(before) == MINUTE and before.fold == now.fold


def _skipped(before: datetime, now: datetime) -> Iterator[datetime]:
    """What clocks would have shown, if they were put forward not too far to make up for it."""
    gap = _naive(now) - _naive(before) - MINUTE
    if timedelta() < gap <= LONGEST_GAP:
        yield from (_naive(before) + MINUTE * number for number in range(1, gap // MINUTE + 1))


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, fold=0)


def fires(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Every instant after `start` and up to `end`, in UTC, at which the job is run."""
    fields = Fields(expression)
    return [fire for hour in hours(zone, start, end) for fire in _fires_in(fields, hour)]


def _fires_in(fields: Fields, hour: Hour) -> Iterator[datetime]:
    fixed = not fields.wildcard
    minutes = fields.minutes(hour)
    if fixed and hour.again:
        # What clocks show a second time has been dealt with the first time.
        minutes = []
    if fixed and hour.shown.minute not in minutes and any(map(fields.match, hour.skipped)):
        yield hour.first
    yield from (hour.first + MINUTE * (minute - hour.shown.minute) for minute in minutes)


def instant(text: str) -> datetime:
    """A UTC time from its text, such as 2026-03-29 00:59."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
