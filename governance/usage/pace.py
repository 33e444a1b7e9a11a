"""What a period comes to at the pace it has had: pure, and in whole numbers."""

from __future__ import annotations

from datetime import datetime, timedelta

# Before this part of a period has passed, its pace says too little.
FORECAST_AFTER = 0.1


def at_the_end(used: int, since: datetime, until: datetime, now: datetime) -> int | None:
    """What `used` comes to until the end, at the pace since the beginning; None while that is too
    short a time to tell. Whole numbers, for money is never a float."""
    length, elapsed = until - since, now - since
    if elapsed < FORECAST_AFTER * length:
        return None
    if elapsed >= length:
        return used
    return used * (length // timedelta.resolution) // (elapsed // timedelta.resolution)


def reaches(
    limit: int, used: int, since: datetime, until: datetime, now: datetime
) -> datetime | None:
    """When the limit is reached at that pace; None if not before the end, or too early to tell."""
    if used >= limit:
        return now
    expected = at_the_end(used, since, until, now)
    if expected is None or expected < limit or not used:
        return None
    microseconds = -(-limit * ((now - since) // timedelta.resolution) // used)
    return since + timedelta(microseconds=microseconds)
