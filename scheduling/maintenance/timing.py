"""When a job of upkeep comes next: pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduling import schedule as schedules
from scheduling.schedule import Kind, Schedule

FIRST_RETRY = timedelta(seconds=30)
# What comes every few seconds is left alone for a minute at most, anything else for an hour.
LONGEST_RETRY_OF_FREQUENT = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
MOST_DOUBLINGS = 12


def schedule_of(*, cron: str, every_seconds: int | None, now: datetime) -> Schedule:
    """The schedule as it counts from `now`, in UTC. Raises `ScheduleFault`."""
    kind = Kind.CRON if cron else Kind.EVERY
    return schedules.parse(
        kind=kind, cron=cron, every_seconds=every_seconds, zone="UTC", anchor_at=now
    )


def following(schedule: Schedule, now: datetime, *, failures: int) -> datetime:
    """When a job comes next that ended at `now`, after so many `failures` in a row.

    One that failed is tried again before its time where that is far off, and later than its time
    where that is near: each failure doubles the wait.
    """
    scheduled = schedules.next_after(schedule, now)
    # A cron expression that is accepted comes again, and so does an interval.
    assert scheduled is not None
    return scheduled if failures == 0 else now + retry_delay(scheduled - now, failures)


def retry_delay(gap: timedelta, failures: int) -> timedelta:
    """How long after the last of its `failures` a job is tried again whose time is `gap` off."""
    longest = min(LONGEST_RETRY, max(LONGEST_RETRY_OF_FREQUENT, gap))
    doubled: int = 2 ** min(failures - 1, MOST_DOUBLINGS)
    return min(longest, min(FIRST_RETRY, gap) * doubled)
