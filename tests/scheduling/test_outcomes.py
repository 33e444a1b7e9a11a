"""What follows from how an attempt ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.models import RunStatus
from scheduling.outcomes import (
    DEFERRED_AT_MOST,
    LONGEST_BACKOFF,
    LONGEST_DEFERRAL,
    Attempt,
    Retries,
    again_at,
    backoff,
)

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def retries(**given: Any) -> Retries:
    allowed: dict[str, Any] = {
        "attempts": 1,
        "deferrals": 0,
        "deferred_since": None,
        "max_attempts": 3,
        "backoff_seconds": 10,
        "retry_unconfirmed": False,
    }
    return Retries(**allowed | given)


def attempt(status: RunStatus = RunStatus.FAILED, **given: Any) -> Attempt:
    return Attempt(status=status, **given)


@pytest.mark.parametrize(
    ("ended", "allowed", "again"),
    [
        (attempt(passes=True), retries(), True),
        (attempt(passes=True), retries(attempts=2), True),
        (attempt(passes=True), retries(attempts=3), False),
        (attempt(passes=True), retries(max_attempts=1), False),
        # Trying once more would not help.
        (attempt(passes=False), retries(), False),
        (attempt(RunStatus.SUCCEEDED), retries(), False),
        (attempt(RunStatus.CANCELLED), retries(), False),
        (attempt(RunStatus.BLOCKED_BY_BUDGET), retries(), False),
        # The provider may have answered: only where the job says so.
        (attempt(RunStatus.UNCONFIRMED), retries(), False),
        (attempt(RunStatus.UNCONFIRMED), retries(retry_unconfirmed=True), True),
        (attempt(RunStatus.UNCONFIRMED), retries(retry_unconfirmed=True, attempts=3), False),
        # No place is no attempt: it comes back whatever the job allows, for an hour.
        (attempt(deferred=True), retries(max_attempts=1), True),
        (
            attempt(deferred=True),
            retries(deferred_since=NOON - DEFERRED_AT_MOST - timedelta(seconds=1)),
            False,
        ),
    ],
)
def test_a_run_is_tried_again_only_where_that_may_help(
    ended: Attempt, allowed: Retries, again: bool
) -> None:
    assert (again_at(ended, allowed, now=NOON, chance=0.5) is not None) is again


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (15, 3600)])
def test_pauses_double_up_to_an_hour(attempts: int, seconds: int) -> None:
    allowed = retries(attempts=attempts, max_attempts=16)

    assert backoff(allowed, 1.0) == timedelta(seconds=seconds)
    assert backoff(allowed, 0.0) == timedelta(seconds=seconds / 2)


def test_what_a_provider_asks_for_is_waited_for() -> None:
    wanted = again_at(attempt(passes=True, retry_after=300), retries(), now=NOON, chance=0)
    absurd = again_at(attempt(passes=True, retry_after=1e9), retries(), now=NOON, chance=0)

    assert wanted == NOON + timedelta(seconds=300)
    assert absurd == NOON + LONGEST_BACKOFF


@pytest.mark.parametrize(("deferrals", "seconds"), [(0, 1), (1, 2), (4, 16), (5, 20), (900, 20)])
def test_a_call_without_a_place_is_put_off_a_little_longer_each_time(
    deferrals: int, seconds: int
) -> None:
    ended, allowed = attempt(deferred=True), retries(deferrals=deferrals)

    longest = again_at(ended, allowed, now=NOON, chance=1)
    shortest = again_at(ended, allowed, now=NOON, chance=0)

    assert longest == NOON + timedelta(seconds=seconds)
    assert shortest == NOON + timedelta(seconds=seconds / 2)


@given(
    attempts=st.integers(1, 16),
    base=st.integers(1, 60),
    chance=st.floats(0, 1),
    retry_after=st.none() | st.floats(0, 1e12),
)
def test_no_pause_is_longer_than_an_hour_or_shorter_than_half_of_the_first(
    attempts: int, base: int, chance: float, retry_after: float | None
) -> None:
    allowed = retries(attempts=attempts, backoff_seconds=base, max_attempts=17)
    again = again_at(
        attempt(passes=True, retry_after=retry_after), allowed, now=NOON, chance=chance
    )

    assert again is not None
    assert timedelta(seconds=base / 2) <= again - NOON <= LONGEST_BACKOFF


@given(deferrals=st.integers(0, 30_000), retry_after=st.none() | st.floats(0, 1e12))
def test_a_deferral_is_bounded(deferrals: int, retry_after: float | None) -> None:
    ended = attempt(deferred=True, retry_after=retry_after)
    again = again_at(ended, retries(deferrals=deferrals), now=NOON, chance=0)

    assert again is not None
    assert again - NOON <= LONGEST_DEFERRAL + timedelta(seconds=3600)
