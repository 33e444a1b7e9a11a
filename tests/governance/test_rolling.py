"""Rolling budgets: the last minute, day or quarter, counted in buckets that never count too little.

And the other windows that are not the calendar's: those of a run, and what approvals until a date
add to any of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.budgets import Counter, Override, Policy, Subject, WindowKey, together
from governance.windows import (
    BEGINNING,
    ROLLING,
    Period,
    bucket,
    leaves_at,
    rolling_periods,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
moments = st.timedeltas(timedelta(), timedelta(days=20 * 365)).map(
    lambda since: datetime(2015, 1, 1, tzinfo=UTC) + since
)
intervals = st.sampled_from(sorted(ROLLING))


def policy(**fields: Any) -> Policy:
    defaults: dict[str, Any] = {
        "id": 1,
        "name": "Lately",
        "scope": "team",
        "team_id": None,
        "metric": "tokens",
        "interval": "hour",
        "zone": "UTC",
        "soft_limit": None,
        "hard_limit": 100,
        "rolling": True,
    }
    return Policy(**{**defaults, **fields})


def subject(**fields: Any) -> Subject:
    return Subject(**{"team_id": 7, "call_id": UUID(int=1), **fields})


@pytest.mark.parametrize(
    ("interval", "buckets", "length"),
    [
        ("minute", 12, timedelta(seconds=5)),
        ("hour", 12, timedelta(minutes=5)),
        ("day", 24, timedelta(hours=1)),
        ("week", 28, timedelta(hours=6)),
        ("month", 30, timedelta(days=1)),
        ("quarter", 13, timedelta(days=7)),
        ("year", 73, timedelta(days=5)),
    ],
)
def test_the_lengths_that_roll(interval: str, buckets: int, length: timedelta) -> None:
    rolling = ROLLING[interval]
    assert (rolling.length // rolling.bucket, rolling.bucket) == (buckets, length)
    assert rolling.length % rolling.bucket == timedelta()


@given(at=moments, interval=intervals)
def test_buckets_tile_the_whole_of_the_last_interval(at: datetime, interval: str) -> None:
    rolling, found = ROLLING[interval], rolling_periods(interval, at)
    assert found[0].starts_at <= at - rolling.length
    assert found[-2] == bucket(interval, at)
    # Another machine's clock may have reached the bucket after it.
    assert found[-1] == bucket(interval, at + rolling.bucket)
    for earlier, later in pairwise(found):
        assert earlier.ends_at == later.starts_at
    # Not one bucket too many: the first of them still overlaps it.
    assert found[0].ends_at is not None
    assert found[0].ends_at > at - rolling.length
    assert len(found) == rolling.length // rolling.bucket + 2


@given(at=moments, interval=intervals, late=st.timedeltas(timedelta(), timedelta(days=2)))
def test_one_that_goes_on_late_is_asked_of_the_interval_of_now_and_counted_on_its_own(
    at: datetime, interval: str, late: timedelta
) -> None:
    rolled, now = policy(interval=interval), at + late
    keys = rolled.windows(subject(), at, now)
    own = rolled.window(subject(), at)
    assert own in keys
    lately = [WindowKey(1, "7", one) for one in rolling_periods(interval, now)]
    assert [key for key in keys if key != own] == [key for key in lately if key != own]


@given(at=moments, interval=intervals)
def test_a_bucket_counts_until_it_leaves_and_no_longer(at: datetime, interval: str) -> None:
    counted = bucket(interval, at)
    leaves = leaves_at(interval, counted)
    last = leaves - timedelta(microseconds=1)
    assert counted in rolling_periods(interval, last)
    assert counted not in rolling_periods(interval, leaves)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=20),
    st.integers(60, 90),
)
def test_the_sum_is_never_low(calls: list[tuple[int, int]], now: int) -> None:
    """Of calls at some minute each, whatever was used within the last hour is in the sum."""
    start = NOON
    counted: dict[Period, int] = {}
    for minute, used in calls:
        if minute <= now:
            one = bucket("hour", start + timedelta(minutes=minute))
            counted[one] = counted.get(one, 0) + used
    at = start + timedelta(minutes=now)
    key = WindowKey(1, "7", bucket("hour", at))
    counters = [
        (WindowKey(1, "7", one), Counter(window_id=index, consumed=counted.get(one, 0), held=0))
        for index, one in enumerate(rolling_periods("hour", at))
    ]
    found = together(policy(), key, counters, at)
    lately = sum(used for minute, used in calls if now - 60 <= minute <= now)
    a_bucket_longer = sum(used for minute, used in calls if now - 65 <= minute <= now)
    assert lately <= found.consumed <= a_bucket_longer


def test_what_is_used_in_all_buckets_is_held_on_the_last() -> None:
    at = NOON + timedelta(minutes=2)
    rolled = policy()
    keys = rolled.windows(subject(), at, at)
    own = rolled.window(subject(), at)
    counters = [
        (keys[3], Counter(window_id=3, consumed=10, held=0, raised_by=5)),
        (keys[8], Counter(window_id=8, consumed=20, held=7)),
        (own, Counter(window_id=12, consumed=1, held=2)),
    ]
    found = together(rolled, own, counters, at)
    assert (found.window_id, found.consumed, found.held, found.raised_by) == (12, 31, 9, 5)
    # Room comes back when the first bucket that has something leaves.
    assert found.frees_at == leaves_at("hour", keys[3].period)


def test_a_calendar_window_stands_alone_and_frees_at_its_end() -> None:
    daily = policy(rolling=False, interval="day")
    (key,) = daily.windows(subject(), NOON, NOON + timedelta(days=2))
    assert key == daily.window(subject(), NOON)
    found = together(daily, key, [(key, Counter(window_id=1, consumed=1, held=0))], NOON)
    assert found == Counter(window_id=1, consumed=1, held=0)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        pytest.param({"run_id": UUID(int=5)}, f"7|{UUID(int=5)}", id="a scheduled run"),
        pytest.param({}, f"7|{UUID(int=1)}", id="a call is a run of its own"),
    ],
)
def test_each_run_has_a_window_of_its_own(fields: dict[str, Any], value: str) -> None:
    a_run = policy(interval="run", rolling=False)
    assert a_run.window(subject(**fields), NOON) == WindowKey(1, value, Period(BEGINNING, None))


def test_what_is_approved_until_a_date_raises_every_window_until_then() -> None:
    rolled = policy(
        overrides=(
            Override("7", 40, NOON + timedelta(days=1)),
            Override("7", 2, NOON + timedelta(days=9)),
            Override("8", 1000, NOON + timedelta(days=1)),
        )
    )
    assert rolled.raised_by("7", NOON) == 42
    assert rolled.raised_by("7", NOON + timedelta(days=1)) == 2
    assert rolled.raised_by("7", NOON + timedelta(days=9)) == 0
    key = rolled.window(subject(), NOON)
    counters = [(key, Counter(window_id=1, consumed=0, held=0, raised_by=3))]
    assert together(rolled, key, counters, NOON).raised_by == 45


def test_what_is_approved_until_a_date_raises_every_run() -> None:
    runs = policy(
        interval="run", rolling=False, overrides=(Override("7", 40, NOON + timedelta(days=1)),)
    )
    key = runs.window(subject(run_id=UUID(int=5)), NOON)
    counters = [(key, Counter(window_id=1, consumed=0, held=0))]
    assert together(runs, key, counters, NOON).raised_by == 40


@pytest.mark.parametrize(
    ("starts_after", "opened"),
    [
        pytest.param(timedelta(hours=-3), True, id="before the policy counted"),
        pytest.param(timedelta(), True, id="as it began to"),
        pytest.param(timedelta(seconds=59), True, id="while its commit may not have been seen"),
        pytest.param(timedelta(minutes=1), False, id="since it has counted"),
    ],
)
def test_a_bucket_without_a_row_may_have_calls_only_before_the_policy_counted(
    starts_after: timedelta, opened: bool
) -> None:
    rolled = policy(counts_since=NOON)
    starts_at = NOON + starts_after
    key = WindowKey(1, "7", Period(starts_at, starts_at + timedelta(minutes=5)))
    assert rolled.must_open(key) is opened
