"""Many scheduled times at once: the last of them, and how many there were."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from itertools import chain, takewhile

from scheduling.schedule import Schedule, between, excluded_spans, times_after

# Counting a year of missed minutes would hold up every other job.
MOST_COUNTED = 1000
ONE_MINUTE = timedelta(minutes=1)
ONE_MICROSECOND = timedelta(microseconds=1)


def last_ones(schedule: Schedule, first: datetime, last: datetime, count: int) -> list[datetime]:
    """The last `count` scheduled times up to and with `last`, none before `first`.

    Both are scheduled times. Looks back further and further from `last`, which is cheap however
    long ago `first` was.
    """
    width = _shortest_gap(schedule) * count
    while True:
        start = last - width
        later = takewhile(lambda slot: slot <= last, times_after(schedule, max(first, start)))
        found = deque(later if start > first else chain([first], later), count)
        if len(found) == count or start <= first:
            return list(found)
        width *= 2


def count_before(schedule: Schedule, first: datetime, before: datetime) -> int:
    """How many scheduled times there are from `first`, which is one, to those before `before`.

    Cron expressions are counted up to `MOST_COUNTED`, intervals to the end.
    """
    if first >= before:
        return 0
    if schedule.every_seconds is None:
        return 1 + len(between(schedule, first, before - ONE_MICROSECOND, MOST_COUNTED - 1))
    interval = timedelta(seconds=schedule.every_seconds)
    left_out = sum(
        _steps(first, interval, end) - _steps(first, interval, start)
        for start, end in excluded_spans(schedule, first, before)
    )
    return _steps(first, interval, before) - left_out


def counted_words(schedule: Schedule, before: int, rows: int = 0) -> str:
    """So many times as `count_before` counted, and so many more, in words."""
    given_up = schedule.every_seconds is None and before >= MOST_COUNTED
    count = before + rows
    times = "scheduled time" if count == 1 else "scheduled times"
    return f"{'at least ' if given_up else ''}{count:,} {times}"


def _steps(first: datetime, interval: timedelta, before: datetime) -> int:
    """How many of the times first, first + interval, … are before `before`."""
    return -((first - before) // interval)


def _shortest_gap(schedule: Schedule) -> timedelta:
    if schedule.every_seconds is None:
        return ONE_MINUTE
    return timedelta(seconds=schedule.every_seconds)
