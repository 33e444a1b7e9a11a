"""When a budget's windows begin and end, as UTC instants: by the calendar, or rolling. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
MONTHS = 12
# By interval, in months.
SPANS = {"month": 1, "quarter": 3, "year": 12}
CLOCK = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Period:
    """From `starts_at` until before `ends_at`, in UTC; without end, `ends_at` is None."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rolling:
    """A rolling interval: how long it is, and the buckets that it is counted in."""

    length: timedelta
    bucket: timedelta


# A month is 30 days here, a quarter 91, a year 365.
ROLLING = {
    "minute": Rolling(timedelta(minutes=1), timedelta(seconds=5)),
    "hour": Rolling(timedelta(hours=1), timedelta(minutes=5)),
    "day": Rolling(timedelta(days=1), timedelta(hours=1)),
    "week": Rolling(timedelta(days=7), timedelta(hours=6)),
    "month": Rolling(timedelta(days=30), timedelta(days=1)),
    "quarter": Rolling(timedelta(days=91), timedelta(days=7)),
    "year": Rolling(timedelta(days=365), timedelta(days=5)),
}


def period(interval: str, zone: str, now: datetime) -> Period:
    """The window of the calendar that `now` falls into; a run's and the total have no end.

    A day begins at local midnight, a week with its Monday, a month, quarter and year with their
    first day; where a clock change skips midnight, at the first instant after it, and where it
    repeats midnight, at the first of the two. Minutes and hours are UTC's in every zone, so that
    no clock change makes one longer. Raises `ValueError` for an unknown interval.
    """
    if interval in ("total", "run"):
        return Period(BEGINNING, None)
    if interval in CLOCK:
        return _aligned(now, CLOCK[interval])
    local_zone = ZoneInfo(zone)
    midnight = now.astimezone(local_zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None
    )
    starts, ends = _local(interval, midnight)
    return Period(_instant(starts, local_zone), _instant(ends, local_zone))


def rolling_periods(interval: str, now: datetime) -> tuple[Period, ...]:
    """The buckets that may hold something of the rolling interval that ends `now`, in order.

    The oldest counts whole even if only a part of it is in the interval, and the one after now is
    asked too: other machines' clocks may be ahead by as much. So the sum is never low.
    """
    rolling = ROLLING[interval]
    found = [_aligned(now - rolling.length, rolling.bucket)]
    while (ends_at := found[-1].ends_at) and ends_at <= now + rolling.bucket:
        found.append(Period(ends_at, ends_at + rolling.bucket))
    return tuple(found)


def bucket(interval: str, at: datetime) -> Period:
    """The bucket of a rolling interval that a call made `at` is counted in."""
    return _aligned(at, ROLLING[interval].bucket)


def leaves_at(interval: str, counted: Period) -> datetime:
    """When a bucket no longer counts for the rolling interval."""
    assert counted.ends_at is not None
    return counted.ends_at + ROLLING[interval].length


def _aligned(moment: datetime, length: timedelta) -> Period:
    starts = BEGINNING + (moment - BEGINNING) // length * length
    return Period(starts, starts + length)


def _local(interval: str, midnight: datetime) -> tuple[datetime, datetime]:
    """The first and the last midnight of the interval."""
    if interval == "day":
        return midnight, midnight + timedelta(days=1)
    if interval == "week":
        monday = midnight - timedelta(days=midnight.weekday())
        return monday, monday + timedelta(days=7)
    if interval not in SPANS:
        raise ValueError(f"unknown interval {interval!r}")
    months = SPANS[interval]
    first = midnight.replace(month=(midnight.month - 1) // months * months + 1, day=1)
    return first, _months_later(first, months)


def _months_later(first: datetime, months: int) -> datetime:
    years, month = divmod(first.month - 1 + months, MONTHS)
    return first.replace(year=first.year + years, month=month + 1)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    # fold=0 reads a skipped label by the offset before the change: the instant of that change.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
