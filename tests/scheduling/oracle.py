"""A second cron, to compare with: it walks the real minutes one by one, as Debian's daemon does.

It shares nothing with the code under test but the zone data: fields are matched by themselves, and
what a clock change skips or repeats is seen by looking at the clock of the minute before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
        minutes, hours, days, months, weekdays = self.values
        if shown.minute not in minutes or shown.hour not in hours or shown.month not in months:
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


def fires(expression: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every instant after `start` and up to `end`, in UTC, at which the job is run."""
    fields, where = Fields(expression), ZoneInfo(zone)
    instant = start.replace(second=0, microsecond=0) + MINUTE
    before = (instant - MINUTE).astimezone(where)
    while instant <= end:
        now = instant.astimezone(where)
        if _fires_now(fields, before, now):
            yield instant
        before, instant = now, instant + MINUTE


def _fires_now(fields: Fields, before: datetime, now: datetime) -> bool:
    if fields.wildcard:
        return fields.match(now)
    # What clocks show a second time has been dealt with the first time.
    if now.fold == 0 and fields.match(now):
        return True
    skipped = _naive(now) - _naive(before) - MINUTE
    if not timedelta() < skipped <= LONGEST_GAP:
        return False
    numbers = range(1, skipped // MINUTE + 1)
    return any(fields.match(_naive(before) + MINUTE * number) for number in numbers)


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, fold=0)


def instant(text: str) -> datetime:
    """A UTC time from its text, such as 2026-03-29 00:59."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
