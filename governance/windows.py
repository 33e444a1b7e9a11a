"""When a budget's window begins and ends: the calendar of the policy's zone, as UTC instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Period:
    """From `starts_at` until before `ends_at`, in UTC; without end, `ends_at` is None."""

    starts_at: datetime
    ends_at: datetime | None


def period(interval: str, zone: str, now: datetime) -> Period:
    """The window of `interval` (day, month or total) that `now` falls into.

    A day or month begins at local midnight; where a clock change skips midnight, at the first
    instant after it, and where it repeats midnight, at the first of the two.
    """
    if interval == "total":
        return Period(BEGINNING, None)
    local_zone = ZoneInfo(zone)
    midnight = now.astimezone(local_zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None
    )
    if interval == "day":
        starts, ends = midnight, midnight + timedelta(days=1)
    elif interval == "month":
        starts = midnight.replace(day=1)
        ends = _next_month(starts)
    else:
        raise ValueError(f"unknown interval {interval!r}")
    return Period(_instant(starts, local_zone), _instant(ends, local_zone))


def _next_month(first: datetime) -> datetime:
    if first.month == DECEMBER:
        return first.replace(year=first.year + 1, month=1)
    return first.replace(month=first.month + 1)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    # fold=0 reads a skipped label by the offset before the change: the instant of that change.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
