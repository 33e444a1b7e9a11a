"""What a report reads: whole days and hours from sums, and the calls of hours it has a part of.

A report is exact to the microsecond and yet reads hardly any call: of each of its steps, the days
that it has whole come from the daily sums, further whole hours from the hourly ones, and only what
is left at its ends from the ledger. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOST_STEPS = 750
DECEMBER = 12
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Range = tuple[datetime, datetime]


class TooManySteps(ValueError):
    """A series would have more than `MOST_STEPS` steps."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The bounds of a report's steps, and what it adds up: each range without its end, and each of
    `moments` within one step."""

    bounds: tuple[datetime, ...]
    days: tuple[Range, ...]
    hours: tuple[Range, ...]
    moments: tuple[Range, ...]


def frame(bounds: Sequence[datetime], now: datetime) -> Frame:
    """What a report with these bounds reads at `now`: no call is made later, so the step that has
    `now` in it has the whole day."""
    days: list[Range] = []
    hours: list[Range] = []
    moments: list[Range] = []
    for since, until in pairwise(bounds):
        if since >= min(until, now):
            continue
        end = until if until < now else _floor(now, DAY) + DAY
        whole, around = _whole((since, end), DAY)
        days += whole
        for part in around:
            whole, rest = _whole(part, HOUR)
            hours += whole
            moments += rest
    return Frame(tuple(bounds), _joined(days), _joined(hours), tuple(moments))


def bounds(step: str, zone: tzinfo, since: datetime, until: datetime) -> list[datetime]:
    """Where the steps from `since` until `until` begin and end: hours of UTC, or the days, weeks
    and months of `zone`. Raises `TooManySteps`, and `OverflowError` at the calendar's ends."""
    found = [since]
    if step == "hour":
        following = _floor(since, HOUR) + HOUR
    else:
        day = _next(step, since.astimezone(zone).date())
        following = _midnight(day, zone)
    while following < until:
        if following > found[-1]:
            found.append(following)
        if len(found) > MOST_STEPS:
            raise TooManySteps(f"more than {MOST_STEPS} steps")
        if step == "hour":
            following += HOUR
        else:
            day = _next(step, day)
            following = _midnight(day, zone)
    return [*found, until]


def month(now: datetime, zone: tzinfo) -> Range:
    """The calendar month of `zone` that `now` is in."""
    first = now.astimezone(zone).date().replace(day=1)
    return _midnight(first, zone), _midnight(_next("month", first), zone)


def last_month(now: datetime, zone: tzinfo) -> Range:
    """The calendar month of `zone` before the one that `now` is in."""
    first = now.astimezone(zone).date().replace(day=1)
    before = (first - DAY).replace(day=1)
    return _midnight(before, zone), _midnight(first, zone)


def outwards(since: datetime, until: datetime) -> Range:
    """The whole hours that have all of it."""
    return _floor(since, HOUR), _later(until, HOUR)


def _next(step: str, day: date) -> date:
    """The first day of the step after the one that `day` is in."""
    if step == "day":
        return day + DAY
    if step == "week":
        return day + timedelta(days=7 - day.weekday())
    if day.month == DECEMBER:
        return date(day.year + 1, 1, 1)
    return date(day.year, day.month + 1, 1)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _floor(moment: datetime, length: timedelta) -> datetime:
    return _BEGINNING + (moment - _BEGINNING) // length * length


def _later(moment: datetime, length: timedelta) -> datetime:
    """`moment` if a length begins there, else where the next one does."""
    begun = _floor(moment, length)
    return begun if begun == moment else begun + length


def _whole(part: Range, length: timedelta) -> tuple[list[Range], list[Range]]:
    """The whole lengths within `part`, and what is left before and after them."""
    since, until = part
    first, last = _later(since, length), _floor(until, length)
    if first >= last:
        return [], [part]
    return [(first, last)], [one for one in ((since, first), (last, until)) if one[0] < one[1]]


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same ranges, with those that follow each other made one."""
    found: list[Range] = []
    for since, until in sorted(ranges):
        if found and found[-1][1] == since:
            found[-1] = found[-1][0], until
        else:
            found.append((since, until))
    return tuple(found)
