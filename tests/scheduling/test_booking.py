"""Whose a job of upkeep is, and when it is due: also where the clock is set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from scheduling.maintenance import booking
from scheduling.maintenance.booking import Outcome
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.models import MaintenanceJob

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ELEVEN, SECOND = NOON - timedelta(hours=1), timedelta(seconds=1)
ONE, OTHER = UUID(int=1), UUID(int=2)
NAME, LEASE = "deliveries", timedelta(minutes=2)
WELL = Outcome(ok=True, words="Well.")


@pytest.fixture(autouse=True)
def row() -> MaintenanceJob:
    """The row of a job that is due at noon."""
    every = BY_NAME[NAME].every_seconds or 0
    booking.make_rows(NOON - every * SECOND)
    return MaintenanceJob.objects.get(pk=NAME)


def due(now: datetime) -> bool:
    return bool(booking.due([NAME], now))


def claim(owner: UUID, now: datetime) -> bool:
    return booking.claim(NAME, owner, now, LEASE)


def test_a_job_is_one_process_until_it_gives_it_back_or_its_lease_ends() -> None:
    assert not due(NOON - SECOND)
    assert claim(ONE, NOON)
    assert not due(NOON + SECOND)
    assert not claim(OTHER, NOON + SECOND)
    # The clock is never so exact that a moment back says anything.
    assert not claim(OTHER, NOON - SECOND)
    assert claim(OTHER, NOON + LEASE)

    booking.release(NAME, OTHER)
    assert due(NOON + LEASE)


def test_a_clock_set_back_keeps_no_job_waiting() -> None:
    claim(ONE, NOON)
    booking.finish(NAME, ONE, WELL, NOON + SECOND)

    assert due(ELEVEN)
    assert claim(ONE, ELEVEN)
    assert not due(ELEVEN)
    booking.finish(NAME, ONE, WELL, ELEVEN + SECOND)

    # It goes on by its schedule from there.
    assert not due(ELEVEN + SECOND)
    assert due(ELEVEN + timedelta(minutes=1))


def test_a_lease_from_before_the_clock_was_set_back_is_over() -> None:
    claim(ONE, NOON)

    assert due(ELEVEN)
    assert claim(OTHER, ELEVEN)
    assert not claim(ONE, ELEVEN + SECOND)


def test_a_paused_job_stays_so_where_the_clock_is_set_back() -> None:
    claim(ONE, NOON)
    MaintenanceJob.objects.update(enabled=False, next_at=None)
    booking.finish(NAME, ONE, WELL, NOON + SECOND)

    assert not due(ELEVEN)
