"""What reports read, where steps begin, and what a pace leads to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.usage.frames import (
    DAY,
    HOUR,
    TooManySteps,
    bounds,
    frame,
    last_month,
    month,
    outwards,
)
from governance.usage.pace import at_the_end, reaches

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PRAGUE = ZoneInfo("Europe/Prague")


def at(day: int, hour: int = 0, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_whole_days_and_hours_are_read_as_such() -> None:
    read = frame((at(1, 21, 30), at(4, 2, 15)), NOW)
    assert read.days == ((at(2), at(4)),)
    assert read.hours == ((at(1, 22), at(2)), (at(4), at(4, 2)))
    assert read.moments == ((at(1, 21, 30), at(1, 22)), (at(4, 2), at(4, 2, 15)))


def test_a_period_within_an_hour_is_read_from_its_calls() -> None:
    read = frame((at(1, 21, 30), at(1, 21, 45)), NOW)
    assert (read.days, read.hours) == ((), ())
    assert read.moments == ((at(1, 21, 30), at(1, 21, 45)),)


def test_days_of_a_zone_are_read_by_the_hour_in_one_range() -> None:
    read = frame(bounds("day", PRAGUE, at(1, 23), at(9, 23)), NOW)
    assert (read.days, read.hours, read.moments) == ((), ((at(1, 23), at(9, 23)),), ())


def test_the_day_of_now_is_read_whole() -> None:
    read = frame((at(1), at(4, 12, 30)), now=at(4, 12, 30))
    assert (read.days, read.hours, read.moments) == (((at(1), at(5)),), (), ())


def test_steps_after_now_are_empty() -> None:
    days = bounds("day", PRAGUE, at(1, 23), at(9, 23))
    read = frame(days, now=at(3, 12))
    assert read.days == ((at(3), at(4)),)
    assert read.hours == ((at(1, 23), at(3)),)
    nothing = frame((at(5), at(6)), now=at(5))
    assert (nothing.days, nothing.hours, nothing.moments) == ((), (), ())


MOMENTS = st.timedeltas(timedelta(), timedelta(days=8)).map(lambda since: at(1) + since)
ROUND = st.integers(0, 8 * 96).map(lambda n: at(1) + n * timedelta(minutes=15))


@given(
    st.lists(st.one_of(MOMENTS, ROUND), min_size=2, max_size=6, unique=True).map(sorted), MOMENTS
)
def test_every_moment_is_read_once_in_its_own_step(edges: list[datetime], moment: datetime) -> None:
    read = frame(edges, NOW)
    begins = {
        "days": at(1) + (moment - at(1)) // DAY * DAY,
        "hours": at(1) + (moment - at(1)) // HOUR * HOUR,
        "moments": moment,
    }
    found = [
        begin
        for grain, begin in begins.items()
        for since, until in getattr(read, grain)
        if since <= begin < until
    ]
    within = edges[0] <= moment < edges[-1]
    assert len(found) == int(within)
    for begin in found:
        assert sum(edge <= begin for edge in edges) == sum(edge <= moment for edge in edges)


@pytest.mark.parametrize(
    ("step", "zone", "since", "until", "inner"),
    [
        ("hour", "UTC", at(1, 0, 30), at(1, 3), [at(1, 1), at(1, 2)]),
        ("day", "UTC", at(1), at(3), [at(2)]),
        ("day", "Europe/Prague", at(28, 12), at(30, 12), [at(28, 23), at(29, 22)]),
        ("day", "Asia/Kolkata", at(1), at(3), [at(1, 18, 30), at(2, 18, 30)]),
        ("week", "UTC", at(1), at(16), [at(2), at(9)]),
        ("month", "UTC", at(15), at(2, month=5), [at(1, month=4), at(1, month=5)]),
        ("day", "UTC", at(1, 1), at(1, 2), []),
    ],
)
def test_where_steps_begin(
    step: str, zone: str, since: datetime, until: datetime, inner: list[datetime]
) -> None:
    assert bounds(step, ZoneInfo(zone), since, until) == [since, *inner, until]


def test_a_day_without_midnight_begins_with_the_change() -> None:
    # In Beirut, clocks went from midnight to one o'clock on 2026-03-29.
    assert bounds("day", ZoneInfo("Asia/Beirut"), at(28, 12), at(29, 12)) == [
        at(28, 12),
        at(28, 22),
        at(29, 12),
    ]


def test_a_series_has_an_end() -> None:
    assert len(bounds("hour", UTC, at(1), at(1) + 750 * HOUR)) == 751
    with pytest.raises(TooManySteps):
        bounds("hour", UTC, at(1), at(1) + 751 * HOUR)


def test_months() -> None:
    assert month(at(31, 22, 30), PRAGUE) == (at(31, 22), at(30, 22, month=4))
    assert last_month(at(31, 22, 30), PRAGUE) == (at(28, 23, month=2), at(31, 22))
    january = datetime(2026, 1, 9, tzinfo=UTC)
    assert last_month(january, UTC)[0] == datetime(2025, 12, 1, tzinfo=UTC)
    assert month(datetime(2025, 12, 9, tzinfo=UTC), UTC)[1] == datetime(2026, 1, 1, tzinfo=UTC)


def test_hours_that_have_all_of_it() -> None:
    assert outwards(at(1, 2, 1), at(1, 4, 1)) == (at(1, 2), at(1, 5))
    assert outwards(at(1, 2), at(1, 4)) == (at(1, 2), at(1, 4))


@pytest.mark.parametrize(
    ("used", "day", "expected"),
    [(70, 8, 300), (70, 31, 70), (0, 16, 0), (70, 2, None), (10**18 + 1, 16, 2 * 10**18 + 2)],
)
def test_what_a_pace_comes_to(used: int, day: int, expected: int | None) -> None:
    assert at_the_end(used, at(1), at(31), at(day)) == expected


@pytest.mark.parametrize(
    ("used", "limit", "day", "expected"),
    [
        (70, 150, 8, at(16)),
        (70, 300, 8, at(31)),
        (70, 301, 8, None),
        (70, 70, 8, at(8)),
        (0, 10, 16, None),
        (70, 150, 2, None),
    ],
)
def test_when_a_limit_is_reached(
    used: int, limit: int, day: int, expected: datetime | None
) -> None:
    assert reaches(limit, used, at(1), at(31), at(day)) == expected
