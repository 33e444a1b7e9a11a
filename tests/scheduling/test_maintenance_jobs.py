"""The jobs of upkeep: their rows, who has one when, what operators do, and when one comes next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from governance.models import AuditEntry
from scheduling.maintenance import booking, operating
from scheduling.maintenance.booking import Outcome
from scheduling.maintenance.catalogue import CATALOGUE
from scheduling.maintenance.timing import following, retry_delay, schedule_of
from scheduling.models import MaintenanceJob

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)
LEASE = MINUTE


@pytest.fixture
def row(db: None) -> MaintenanceJob:
    """The job of alerts, due at noon and 15 seconds."""
    booking.make_rows(NOON)
    return MaintenanceJob.objects.get(pk="alerts")


def test_every_job_has_a_name_words_and_one_schedule() -> None:
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
    for one in CATALOGUE:
        assert one.title and one.does.endswith(".")
        schedule_of(cron=one.cron, every_seconds=one.every_seconds, now=NOON)


@pytest.mark.parametrize(
    ("gap", "delays"),
    [
        (SECOND, [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND, 32 * SECOND, MINUTE]),
        (15 * SECOND, [15 * SECOND, 30 * SECOND, MINUTE, MINUTE]),
        (
            DAY,
            [
                30 * SECOND,
                MINUTE,
                2 * MINUTE,
                4 * MINUTE,
                8 * MINUTE,
                16 * MINUTE,
                32 * MINUTE,
                HOUR,
                HOUR,
            ],
        ),
    ],
)
def test_a_job_that_fails_is_tried_again_ever_later(
    gap: timedelta, delays: list[timedelta]
) -> None:
    assert [retry_delay(gap, times) for times in range(1, len(delays) + 1)] == delays
    assert retry_delay(gap, 10_000) == delays[-1]


def test_a_job_comes_as_its_schedule_says() -> None:
    daily = schedule_of(cron="7 2 * * *", every_seconds=None, now=NOON)
    assert following(daily, NOON, failures=0) == datetime(2026, 3, 2, 2, 7, tzinfo=UTC)
    assert following(daily, NOON, failures=1) == NOON + 30 * SECOND
    often = schedule_of(cron="", every_seconds=5, now=NOON)
    assert following(often, NOON, failures=0) == NOON + 5 * SECOND


@pytest.mark.django_db
def test_rows_are_made_once_and_what_operators_set_stays(row: MaintenanceJob) -> None:
    assert MaintenanceJob.objects.count() == len(CATALOGUE)
    assert row.next_at == NOON + 15 * SECOND
    operating.reschedule(row, every_seconds=60, now=NOON)

    booking.make_rows(NOON + DAY)

    row.refresh_from_db()
    assert (row.every_seconds, row.next_at) == (60, NOON + MINUTE)
    assert MaintenanceJob.objects.count() == len(CATALOGUE)


@pytest.mark.django_db
def test_a_job_is_one_processs_until_its_lease_ends(row: MaintenanceJob) -> None:
    first, second = uuid4(), uuid4()
    due_at = NOON + 15 * SECOND
    assert not booking.claim(row.name, first, due_at - SECOND, LEASE)
    assert booking.claim(row.name, first, due_at, LEASE)
    assert booking.due(["alerts"], due_at) == []
    assert not booking.claim(row.name, second, due_at + LEASE - SECOND, LEASE)

    # The first has crashed: once its lease has ended the job is the second's alone.
    assert booking.claim(row.name, second, due_at + LEASE, LEASE)
    booking.finish(row.name, first, Outcome(ok=False, words="Late."), due_at + LEASE + SECOND)
    booking.release(row.name, first)
    row.refresh_from_db()
    assert (row.owner, row.last_result) == (second, "")

    booking.finish(row.name, second, Outcome(ok=True, words="Done."), due_at + 2 * LEASE)
    row.refresh_from_db()
    assert (row.owner, row.last_status, row.last_result) == (None, "ok", "Done.")
    assert row.next_at == due_at + 2 * LEASE + 15 * SECOND


@pytest.mark.django_db(transaction=True)
def test_of_many_who_claim_at_once_one_has_it(row: MaintenanceJob) -> None:
    at_once = Barrier(4)

    def claim() -> bool:
        try:
            at_once.wait()
            return booking.claim("alerts", uuid4(), NOON + HOUR, LEASE)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claims = [pool.submit(claim) for _ in range(4)]
        assert sum(one.result() for one in claims) == 1


@pytest.mark.django_db
def test_failures_are_counted_until_one_goes_well(row: MaintenanceJob) -> None:
    owner, now = uuid4(), NOON + HOUR
    for failures, ok in ((1, False), (2, False), (0, True)):
        MaintenanceJob.objects.update(next_at=now)
        assert booking.claim(row.name, owner, now, LEASE)
        booking.finish(row.name, owner, Outcome(ok=ok, words="x" * 600), now)
        row.refresh_from_db()
        assert (row.failures_in_a_row, len(row.last_result)) == (failures, 500)


@pytest.mark.django_db
def test_a_paused_job_runs_only_if_somebody_asks(row: MaintenanceJob) -> None:
    operating.pause(row, reason="Too loud.", now=NOON)
    assert (row.enabled, row.next_at) == (False, None)
    assert not booking.claim(row.name, uuid4(), NOON + DAY, LEASE)

    owner = uuid4()
    operating.run_now(row, now=NOON + DAY)
    assert booking.claim(row.name, owner, NOON + DAY, LEASE)
    booking.finish(row.name, owner, Outcome(ok=True, words="Done."), NOON + DAY + SECOND)
    row.refresh_from_db()
    assert (row.enabled, row.next_at) == (False, None)

    operating.resume(row, now=NOON + DAY)
    assert (row.enabled, row.paused_reason, row.next_at) == (True, "", NOON + DAY + 15 * SECOND)


@pytest.mark.django_db
def test_what_is_asked_for_while_it_runs_is_done_after(row: MaintenanceJob) -> None:
    owner, now = uuid4(), NOON + HOUR
    assert booking.claim(row.name, owner, now, LEASE)
    operating.run_now(row, now=now + SECOND)
    booking.finish(row.name, owner, Outcome(ok=True, words="Done."), now + 2 * SECOND)
    row.refresh_from_db()
    assert row.next_at == now + SECOND


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({}, {"cron"}),
        ({"cron": "* * * *"}, {"cron"}),
        ({"every_seconds": 0}, {"every_seconds"}),
        ({"cron": "* * * * *", "every_seconds": 5}, {"cron", "every_seconds"}),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    row: MaintenanceJob, values: dict[str, object], fields: set[str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        operating.reschedule(row, now=NOON, **values)  # type: ignore[arg-type]
    assert set(refused.value.message_dict) == fields
    with pytest.raises(ValidationError, match="Say why"):
        operating.pause(row, reason=" ", now=NOON)


@pytest.mark.django_db
def test_a_stored_schedule_that_cannot_be_used_is_said_and_the_default_counts(
    row: MaintenanceJob,
) -> None:
    MaintenanceJob.objects.filter(pk=row.pk).update(cron="61 * * * *", every_seconds=None)
    row.refresh_from_db()
    assert booking.next_of(row, NOON) == NOON + 15 * SECOND
    assert operating.sentence(row).startswith("A schedule that cannot be used:")


@pytest.mark.django_db
def test_the_system_leaves_no_entries_of_what_it_does(row: MaintenanceJob) -> None:
    owner = uuid4()
    assert booking.claim(row.name, owner, NOON + HOUR, LEASE)
    booking.finish(row.name, owner, Outcome(ok=True, words="Done."), NOON + HOUR)
    assert not AuditEntry.objects.exists()
