"""When schedules fire: across clock changes, leap days and year ends, and against a second cron."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from governance.zones import zone_names
from scheduling import schedule as schedules
from scheduling.cron import CronFault, parse
from scheduling.models import ScheduleKind
from scheduling.schedule import Kind, Schedule, between, latest, local_time, next_after, upcoming
from tests.scheduling.oracle import fires, instant

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PRAGUE, NEW_YORK, LORD_HOWE = "Europe/Prague", "America/New_York", "Australia/Lord_Howe"
CASABLANCA, KOLKATA, APIA = "Africa/Casablanca", "Asia/Kolkata", "Pacific/Apia"


def cron(expression: str, zone: str = "UTC") -> Schedule:
    return schedules.parse(kind=Kind.CRON, cron=expression, zone=zone, anchor_at=EPOCH)


def every(seconds: int, anchor: datetime = EPOCH) -> Schedule:
    return schedules.parse(kind=Kind.EVERY, every_seconds=seconds, anchor_at=anchor)


def at(moment: datetime, zone: str = "UTC") -> Schedule:
    return schedules.parse(kind=Kind.AT, at=moment, zone=zone, anchor_at=EPOCH)


def test_the_kinds_are_the_models() -> None:
    assert [kind.value for kind in Kind] == [kind.value for kind in ScheduleKind]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Prague, 2026-03-29: 02:00 to 03:00 is skipped at 01:00 UTC.
        ("30 2 * * *", PRAGUE, "2026-03-28 02:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("0,30 2 * * *", PRAGUE, "2026-03-28 22:00", ["2026-03-29 01:00", "2026-03-30 00:00"]),
        ("30 2,3 * * *", PRAGUE, "2026-03-28 22:00", ["2026-03-29 01:00", "2026-03-29 01:30"]),
        ("0 3 * * *", PRAGUE, "2026-03-28 22:00", ["2026-03-29 01:00", "2026-03-30 01:00"]),
        (
            "*/30 * * * *",
            PRAGUE,
            "2026-03-29 00:00",
            ["2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30"],
        ),
        ("30 * * * *", PRAGUE, "2026-03-29 00:00", ["2026-03-29 00:30", "2026-03-29 01:30"]),
        ("*/15 2 * * *", PRAGUE, "2026-03-28 22:00", ["2026-03-30 00:00", "2026-03-30 00:15"]),
        # Prague, 2026-10-25: 02:00 to 03:00 is repeated from 01:00 UTC on.
        ("30 2 * * *", PRAGUE, "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", PRAGUE, "2026-10-25 01:10", ["2026-10-26 01:30", "2026-10-27 01:30"]),
        (
            "30 * * * *",
            PRAGUE,
            "2026-10-25 00:00",
            ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"],
        ),
        (
            "*/30 * * * *",
            PRAGUE,
            "2026-10-24 23:45",
            [
                "2026-10-25 00:00",
                "2026-10-25 00:30",
                "2026-10-25 01:00",
                "2026-10-25 01:30",
                "2026-10-25 02:00",
            ],
        ),
        (
            "*/20 2 * * *",
            PRAGUE,
            "2026-10-25 00:30",
            [
                "2026-10-25 00:40",
                "2026-10-25 01:00",
                "2026-10-25 01:20",
                "2026-10-25 01:40",
                "2026-10-26 01:00",
            ],
        ),
        # New York, 2026-03-08 and 2026-11-01.
        ("15 2 * * *", NEW_YORK, "2026-03-07 12:00", ["2026-03-08 07:00", "2026-03-09 06:15"]),
        ("15 1 * * *", NEW_YORK, "2026-10-31 12:00", ["2026-11-01 05:15", "2026-11-02 06:15"]),
        (
            "15 * * * *",
            NEW_YORK,
            "2026-11-01 05:00",
            ["2026-11-01 05:15", "2026-11-01 06:15", "2026-11-01 07:15"],
        ),
        (
            "*/30 1 * * *",
            NEW_YORK,
            "2026-11-01 04:59",
            [
                "2026-11-01 05:00",
                "2026-11-01 05:30",
                "2026-11-01 06:00",
                "2026-11-01 06:30",
                "2026-11-02 06:00",
            ],
        ),
        ("*/30 2 * * *", NEW_YORK, "2026-03-08 05:00", ["2026-03-09 06:00", "2026-03-09 06:30"]),
        # Lord Howe changes by half an hour: 02:00 to 02:30 is skipped on 2026-10-04 at 15:30 UTC.
        ("15 2 * * *", LORD_HOWE, "2026-10-03 00:00", ["2026-10-03 15:30", "2026-10-04 15:15"]),
        (
            "*/15 2 * * *",
            LORD_HOWE,
            "2026-10-03 15:00",
            ["2026-10-03 15:30", "2026-10-03 15:45", "2026-10-04 15:00"],
        ),
        # … and 01:30 to 02:00 is repeated on 2026-04-05 from 15:00 UTC the day before.
        ("45 1 * * *", LORD_HOWE, "2026-04-04 00:00", ["2026-04-04 14:45", "2026-04-05 15:15"]),
        (
            "45 * * * *",
            LORD_HOWE,
            "2026-04-04 14:00",
            ["2026-04-04 14:45", "2026-04-04 15:15", "2026-04-04 16:15"],
        ),
        # Casablanca leaves its usual time for Ramadan: back on 2026-02-15, forth on 2026-03-22.
        ("30 2 * * *", CASABLANCA, "2026-02-14 12:00", ["2026-02-15 01:30", "2026-02-16 02:30"]),
        ("30 2 * * *", CASABLANCA, "2026-03-21 12:00", ["2026-03-22 02:00", "2026-03-23 01:30"]),
        (
            "0 * * * *",
            CASABLANCA,
            "2026-02-15 00:30",
            ["2026-02-15 01:00", "2026-02-15 02:00", "2026-02-15 03:00"],
        ),
        ("*/30 2 * * *", CASABLANCA, "2026-02-15 00:00", ["2026-02-15 01:00", "2026-02-15 01:30"]),
        (
            "*/30 2 * * *",
            CASABLANCA,
            "2026-02-15 01:30",
            ["2026-02-15 02:00", "2026-02-15 02:30", "2026-02-16 02:00"],
        ),
        ("*/30 2 * * *", CASABLANCA, "2026-03-21 12:00", ["2026-03-23 01:00", "2026-03-23 01:30"]),
        # Kolkata never changes, and is half an hour off.
        ("0 9 * * *", KOLKATA, "2026-03-28 12:00", ["2026-03-29 03:30", "2026-03-30 03:30"]),
        (
            "*/20 2 * * *",
            KOLKATA,
            "2026-10-24 20:00",
            ["2026-10-24 20:30", "2026-10-24 20:50", "2026-10-24 21:10", "2026-10-25 20:30"],
        ),
        ("0 0 29 2 *", KOLKATA, "2026-01-01 00:00", ["2028-02-28 18:30", "2032-02-28 18:30"]),
        ("0 0 1 1 *", KOLKATA, "2026-12-31 18:00", ["2026-12-31 18:30", "2027-12-31 18:30"]),
        # Apia had no 30 December 2011.
        (
            "0 12 * * *",
            APIA,
            "2011-12-29 00:00",
            ["2011-12-29 22:00", "2011-12-30 22:00", "2011-12-31 22:00"],
        ),
        ("0 9 * * 5", APIA, "2011-12-29 00:00", ["2012-01-05 19:00", "2012-01-12 19:00"]),
        ("0 12 30 12 *", APIA, "2011-12-01 00:00", ["2012-12-29 22:00", "2013-12-29 22:00"]),
        (
            "0 */12 * * *",
            APIA,
            "2011-12-30 00:00",
            ["2011-12-30 10:00", "2011-12-30 22:00", "2011-12-31 10:00"],
        ),
        # Leap days and year ends.
        (
            "0 0 29 2 *",
            "UTC",
            "2026-01-01 00:00",
            ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"],
        ),
        ("0 0 29 2 *", "UTC", "2096-03-01 00:00", ["2104-02-29 00:00"]),
        ("59 23 31 12 *", "UTC", "2026-12-31 23:58", ["2026-12-31 23:59", "2027-12-31 23:59"]),
        ("0 0 1 1 *", PRAGUE, "2026-12-31 22:59", ["2026-12-31 23:00", "2027-12-31 23:00"]),
        ("0 0 31 * *", "UTC", "2026-01-31 00:00", ["2026-03-31 00:00", "2026-05-31 00:00"]),
        # Either day field, or both where one begins with a star.
        (
            "0 0 13 * 5",
            "UTC",
            "2026-02-07 00:00",
            ["2026-02-13 00:00", "2026-02-20 00:00", "2026-02-27 00:00", "2026-03-06 00:00"],
        ),
        (
            "0 0 */2 * 1",
            "UTC",
            "2026-02-01 00:00",
            ["2026-02-09 00:00", "2026-02-23 00:00", "2026-03-09 00:00"],
        ),
        ("0 0 1-31 * 1", "UTC", "2026-02-01 00:00", ["2026-02-02 00:00", "2026-02-03 00:00"]),
        ("0 0 1 * 0-7", "UTC", "2026-02-01 00:00", ["2026-02-02 00:00", "2026-02-03 00:00"]),
    ],
)
def test_next_times_across_the_odd_days(
    expression: str, zone: str, after: str, expected: list[str]
) -> None:
    found = upcoming(cron(expression, zone), instant(after), len(expected))

    assert found == [instant(text) for text in expected]
    assert {time.tzinfo for time in found} == {UTC}


@pytest.mark.parametrize("second", range(0, 60, 7))
def test_a_time_is_after_and_not_at_the_time_asked_for(second: int) -> None:
    start = EPOCH.replace(second=second, microsecond=999_999)

    assert next_after(cron("* * * * *"), start) == EPOCH + timedelta(minutes=1)
    assert next_after(cron("* * * * *"), EPOCH) == EPOCH + timedelta(minutes=1)


# Each of these has a clock change, a leap day or a year's end within the hours that follow.
STARTS = [
    ("2026-03-28 22:00", PRAGUE),
    ("2026-10-24 22:00", PRAGUE),
    ("2026-03-08 04:00", NEW_YORK),
    ("2026-11-01 03:00", NEW_YORK),
    ("2026-10-03 13:00", LORD_HOWE),
    ("2026-04-04 12:00", LORD_HOWE),
    ("2026-02-14 23:00", CASABLANCA),
    ("2026-03-21 23:00", CASABLANCA),
    ("2028-02-28 16:00", KOLKATA),
    ("2026-12-31 20:00", "UTC"),
    ("2011-12-30 08:00", APIA),
    ("2018-03-10 14:00", "Antarctica/Casey"),
    ("2019-10-03 17:00", "Antarctica/Casey"),
    ("2023-04-27 20:00", "Africa/Cairo"),
]
HOURS = timedelta(hours=7)
MOST_COMPARED = 60
SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much)


def _part(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1])
    plain_ranges = ranges.map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = ranges.flatmap(
        lambda pair: st.integers(1, pair[1] - pair[0]).map(
            lambda step: f"{pair[0]}-{pair[1]}/{step}"
        )
    )
    span = (6 if high == 7 else high) - low
    starred = st.integers(1, span).map(lambda step: f"*/{step}")
    return st.one_of(st.just("*"), starred, numbers.map(str), plain_ranges, stepped)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(_part(low, high), min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    _field(0, 59),
    _field(0, 23),
    st.one_of(st.just("*"), _field(1, 31)),
    st.one_of(st.just("*"), _field(1, 12)),
    st.one_of(st.just("*"), _field(0, 7)),
).map(" ".join)


def _usable(expression: str) -> bool:
    try:
        parse(expression)
    except CronFault:
        return False
    return True


def _assert_a_second_cron_agrees(
    expression: str, zone: str, start: datetime, window: timedelta
) -> None:
    found = between(cron(expression, zone), start, start + window, MOST_COMPARED)

    # A full list ends early, and says nothing of the time behind its last entry.
    end = found[-1] if len(found) == MOST_COMPARED else start + window
    assert found == list(fires(expression, zone, start, end))


@settings(max_examples=150, suppress_health_check=SLOW)
@given(
    expression=EXPRESSIONS.filter(_usable),
    place=st.sampled_from(STARTS),
    later=st.integers(0, 240),
)
@example(expression="0 1-3 * * *", place=("2018-03-10 14:00", "Antarctica/Casey"), later=0)
def test_a_second_cron_that_walks_the_minutes_agrees(
    expression: str, place: tuple[str, str], later: int
) -> None:
    start = instant(place[0]) + timedelta(minutes=later)

    _assert_a_second_cron_agrees(expression, place[1], start, HOURS)


@settings(max_examples=60, suppress_health_check=SLOW)
@given(
    expression=EXPRESSIONS.filter(_usable),
    zone=st.sampled_from([name for name in zone_names() if "/" in name]),
    minutes=st.integers(0, 15 * 365 * 24 * 60),
)
def test_the_second_cron_agrees_in_any_zone_at_any_time(
    expression: str, zone: str, minutes: int
) -> None:
    start = datetime(2015, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)

    _assert_a_second_cron_agrees(expression, zone, start, 3 * HOURS)


@given(
    seconds=st.integers(1, 10 * 86400),
    since_2026=st.timedeltas(timedelta(days=-2000), timedelta(days=2000)),
    later=st.timedeltas(timedelta(), timedelta(days=4000)),
)
def test_intervals_never_drift(seconds: int, since_2026: timedelta, later: timedelta) -> None:
    anchor, interval = EPOCH + since_2026, timedelta(seconds=seconds)
    schedule, after = every(seconds, anchor), anchor + later

    times = upcoming(schedule, after, 5)

    assert after < times[0] <= after + interval
    assert {(time - anchor) % interval for time in times} == {timedelta()}
    assert {right - left for left, right in pairwise(times)} == {interval}


def test_the_first_interval_ends_after_the_anchor_even_if_that_is_to_come() -> None:
    assert next_after(every(60), EPOCH - timedelta(days=1)) == EPOCH + timedelta(minutes=1)


def test_a_single_time_comes_once() -> None:
    schedule = at(EPOCH)

    assert upcoming(schedule, EPOCH - timedelta(days=1), 3) == [EPOCH]
    assert next_after(schedule, EPOCH) is None


@settings(max_examples=60)
@given(
    schedule=st.one_of(
        st.sampled_from(["* * * * *", "*/7 3 * * *", "0 9 * * 1-5", "0 0 29 2 *", "@monthly"]).map(
            lambda text: cron(text, PRAGUE)
        ),
        st.integers(1, 100_000).map(every),
        st.integers(1, 10**6).map(lambda seconds: at(EPOCH + timedelta(seconds=seconds))),
    ),
    seconds=st.integers(0, 4 * 86400),
)
def test_the_latest_missed_time_is_the_last_one_up_to_now(schedule: Schedule, seconds: int) -> None:
    due = next_after(schedule, EPOCH)
    assert due is not None
    now = due + timedelta(seconds=seconds)

    found = latest(schedule, due, now)

    assert due <= found <= now
    assert found == due or next_after(schedule, found - timedelta(seconds=1)) == found
    following = next_after(schedule, found)
    assert following is None or following > now


@pytest.mark.parametrize(
    ("label", "zone", "expected"),
    [
        ("2026-07-01 09:00", PRAGUE, "2026-07-01 07:00"),
        ("2026-03-29 02:30", PRAGUE, "2026-03-29 01:00"),
        ("2026-10-25 02:30", PRAGUE, "2026-10-25 00:30"),
        ("2011-12-30 12:00", APIA, "2011-12-30 10:00"),
    ],
)
def test_a_local_time_is_the_instant_clocks_show_it(label: str, zone: str, expected: str) -> None:
    assert local_time(datetime.fromisoformat(label), zone) == instant(expected)


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"kind": "cron", "cron": "x"}, {"cron"}),
        ({"kind": "cron", "cron": "* * * * *", "zone": "Mars/Base"}, {"zone"}),
        ({"kind": "cron", "cron": "* * * * *", "every_seconds": 5}, {"every_seconds"}),
        ({"kind": "every"}, {"every_seconds"}),
        ({"kind": "every", "every_seconds": 0}, {"every_seconds"}),
        ({"kind": "every", "every_seconds": 10**10}, {"every_seconds"}),
        ({"kind": "every", "every_seconds": 5, "cron": "* * * * *", "at": EPOCH}, {"cron", "at"}),
        ({"kind": "at"}, {"at"}),
        ({"kind": "at", "at": EPOCH.replace(tzinfo=None)}, {"at"}),
        ({"kind": "never"}, {"schedule_kind"}),
        (
            {"kind": "at", "cron": "x", "every_seconds": 1, "zone": "Nowhere"},
            {"at", "cron", "every_seconds", "zone"},
        ),
    ],
)
def test_every_fault_of_a_schedule_is_told_by_field(
    fields: dict[str, Any], faulty: set[str]
) -> None:
    with pytest.raises(schedules.ScheduleFault) as caught:
        schedules.parse(anchor_at=EPOCH, **fields)

    assert caught.value.faults.keys() == faulty
    assert all(caught.value.faults.values())


@given(expression=EXPRESSIONS.filter(_usable))
def test_any_expression_has_a_sentence_and_a_next_time(expression: str) -> None:
    schedule = cron(expression, PRAGUE)

    found = next_after(schedule, EPOCH)

    assert schedules.sentence(schedule).endswith(", Europe/Prague")
    assert found is not None
    assert found.astimezone(ZoneInfo(PRAGUE)).second == 0
