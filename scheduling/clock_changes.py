"""Local times and the instants at which clocks show them, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

ONE_SECOND = timedelta(seconds=1)


def instants(label: datetime, where: ZoneInfo) -> list[datetime]:
    """When clocks in `where` show `label`: once, twice where it repeats, never in a gap."""
    first = label.replace(tzinfo=where, fold=0).astimezone(UTC)
    second = label.replace(tzinfo=where, fold=1).astimezone(UTC)
    if second < first:
        return []
    return [first] if first == second else [first, second]


def gap(label: datetime, where: ZoneInfo) -> timedelta:
    """How long the gap is in which `label` lies."""
    return offset(label.replace(tzinfo=where, fold=1)) - offset(label.replace(tzinfo=where))


def end_of_gap(label: datetime, where: ZoneInfo) -> datetime:
    """The first instant after the gap in which `label` lies."""
    before = label.replace(tzinfo=where, fold=1).astimezone(UTC)
    behind = label.replace(tzinfo=where, fold=0).astimezone(UTC)
    return change_between(where, before, behind)


def change_between(where: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The second at which the UTC offset changes, given an instant before it and one not."""
    before = offset(low.astimezone(where))
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > ONE_SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if offset(middle.astimezone(where)) == before:
            low = middle
        else:
            high = middle
    return high


def will_repeat(local: datetime) -> bool:
    """Whether clocks will show the same once more after they are put back."""
    return offset(local) > offset(local.replace(fold=1))


def offset(local: datetime) -> timedelta:
    """How far local time is ahead of UTC."""
    found = local.utcoffset()
    assert found is not None
    return found


def wall_clock(instant: datetime, where: ZoneInfo) -> datetime:
    """What clocks in `where` show at an instant, as a naive time."""
    return instant.astimezone(where).replace(tzinfo=None, fold=0)
