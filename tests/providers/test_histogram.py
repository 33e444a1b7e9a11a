"""Histograms: small, addable, and off by little."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.histogram import RELATIVE_ERROR, STEP, bucket, percentile

TIMES = st.integers(2, 10_000_000)
SHARES = st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0])


@given(st.lists(TIMES, min_size=1, max_size=100), SHARES)
def test_a_percentile_is_near_the_true_one(times: list[int], share: float) -> None:
    true = sorted(times)[max(1, math.ceil(share * len(times))) - 1]
    found = percentile(Counter(bucket(one) for one in times), share)
    assert found is not None
    assert abs(found - true) <= true * RELATIVE_ERROR * (1 + 1e-6)


@given(TIMES)
def test_a_time_is_in_the_bucket_that_is_said(time: int) -> None:
    number = bucket(time)
    assert STEP ** (number - 1) * (1 - 1e-6) < time <= STEP**number * (1 + 1e-6)


def test_the_shortest_times_share_a_bucket() -> None:
    assert [bucket(time) for time in (0, 0.3, 1, 1.05, 1.2)] == [0, 0, 0, 1, 2]
    assert percentile({0: 3}, 0.5) == 1.0


def test_a_week_takes_few_buckets() -> None:
    assert bucket(7 * 24 * 3_600_000) < 220


@pytest.mark.parametrize("counts", [{}, {3: 0}])
def test_nothing_measured_is_none(counts: dict[int, int]) -> None:
    assert percentile(counts, 0.5) is None
