"""What people do with runs: begin one now, cancel one, decide on those that were missed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import OrmQ

from governance.acting import acting, operator
from governance.models import AuditEntry
from scheduling import handling
from scheduling.dispatcher import dispatch
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from tests.scheduling.conftest import MakeJob, MakeRun

OWNER = uuid4()
HOUR = timedelta(hours=1)


def told() -> int:
    return sum(message.task["args"][0] for message in OrmQ.objects.all())


def test_a_run_now_has_parameters_of_its_own(make_job: MakeJob) -> None:
    run = handling.run_now(make_job(), now=timezone.now(), parameters={"city": "Brno"})

    assert (run.trigger, run.status, run.lane) == (RunTrigger.MANUAL, RunStatus.QUEUED, 0)
    assert (run.parameters, told()) == ({"city": "Brno"}, 1)


def test_parameters_that_no_template_can_use_are_refused(make_job: MakeJob) -> None:
    job = make_job()

    with pytest.raises(ValidationError) as refused:
        handling.run_now(job, now=timezone.now(), parameters={"no name": 1})

    assert "parameters" in refused.value.message_dict
    assert not job.runs.exists()


@pytest.mark.parametrize(
    ("overlap", "statuses"),
    [
        ("forbid", None),
        ("queue_one", [("queued", 0), ("queued", None)]),
        ("replace", [("cancelled", 0), ("queued", 0)]),
        ("allow", [("queued", 0), ("queued", 1)]),
    ],
)
def test_a_run_now_keeps_to_the_jobs_policy(
    make_job: MakeJob, overlap: str, statuses: list[tuple[str, int | None]] | None
) -> None:
    job, now = make_job(overlap=overlap), timezone.now()
    handling.run_now(job, now=now)

    if statuses is None:
        with pytest.raises(ValidationError, match="still waiting to begin; one runs at a time"):
            handling.run_now(job, now=now + HOUR)
        return
    handling.run_now(job, now=now + HOUR)

    assert list(job.runs.order_by("slot").values_list("status", "lane")) == statuses


def test_a_run_that_has_not_begun_is_cancelled_at_once(make_run: MakeRun) -> None:
    run = make_run(overlap="queue_one")
    waiting = handling.run_now(run.job, now=timezone.now())
    now = timezone.now()

    cancelled = handling.cancel(run, now=now)

    assert (cancelled.status, cancelled.finished_at) == (RunStatus.CANCELLED, now)
    assert cancelled.reason == "It was cancelled."
    waiting.refresh_from_db()
    assert waiting.lane == 0


def test_the_worker_of_a_run_under_way_is_told(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER), timezone.now()

    cancelled = handling.cancel(run, now=now, reason="Wrong prompt.")
    # Once more says nothing new, and is no mistake.
    handling.cancel(run, now=now + HOUR)

    assert (cancelled.status, cancelled.cancel_requested_at) == (RunStatus.RUNNING, now)
    run.refresh_from_db()
    assert (run.cancel_requested_at, run.reason) == (now, "Wrong prompt.")


def test_what_has_ended_cannot_be_cancelled(make_run: MakeRun) -> None:
    run = make_run()
    CronRun.objects.update(status=RunStatus.SUCCEEDED)

    with pytest.raises(ValidationError, match="It has ended already"):
        handling.cancel(run, now=timezone.now())


def test_all_of_a_jobs_runs_are_cancelled_and_none_begins_for_it(make_run: MakeRun) -> None:
    run, now = make_run(overlap="queue_one"), timezone.now()
    waiting = [
        CronRun.objects.create(
            job=run.job, slot=now + number * HOUR, trigger=RunTrigger.REPLAY, queued_at=now
        )
        for number in range(3)
    ]
    CronRun.objects.create(
        job=run.job, slot=now - HOUR, status=RunStatus.SUCCEEDED, queued_at=now, finished_at=now
    )

    with acting(operator):
        done = handling.cancel_all(run.job, now=now, reason="Enough.")
        assert handling.cancel_all(run.job, now=now) == []

    assert [one.pk for one in done] == [run.pk, *(one.pk for one in waiting)]
    assert {(one.status, one.reason) for one in done} == {(RunStatus.CANCELLED, "Enough.")}
    assert told() == 0
    assert AuditEntry.objects.filter(action="run cancelled").count() == 4


def test_cancelling_a_long_line_takes_no_more_queries_than_a_short_one(
    make_job: MakeJob, django_assert_max_num_queries: Any
) -> None:
    job, now = make_job(), timezone.now()
    for number in range(30):
        CronRun.objects.create(
            job=job, slot=now + number * HOUR, trigger=RunTrigger.REPLAY, queued_at=now, output="O"
        )

    with django_assert_max_num_queries(10):
        done = handling.cancel_all(job, now=now)
        assert {(one.status, one.job.pk) for one in done} == {(RunStatus.CANCELLED, job.pk)}

    # What is large is not read, unless somebody wants it.
    assert done[0].get_deferred_fields() == {"output", "asked"}
    assert done[0].output == "O"


def test_of_runs_under_way_all_workers_are_told_once(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER), timezone.now()

    with acting(operator):
        for _ in range(2):
            (found,) = handling.cancel_all(run.job, now=now, reason="Enough.")

    assert (found.status, found.cancel_requested_at) == (RunStatus.RUNNING, now)
    assert AuditEntry.objects.filter(action="run cancelled").count() == 1


def test_a_long_reason_is_refused(make_run: MakeRun) -> None:
    run = make_run()

    with pytest.raises(ValidationError) as refused:
        handling.cancel(run, now=timezone.now(), reason="x" * 201)

    assert refused.value.message_dict == {"reason": ["Give at most 200 characters."]}
    with pytest.raises(ValidationError):
        handling.cancel_all(run.job, now=timezone.now(), reason="x" * 201)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED
    cancelled = handling.cancel(run, now=timezone.now(), reason=f" {'x' * 200} ")
    assert cancelled.reason == "x" * 200


@pytest.fixture
def missed(make_job: MakeJob) -> CronJob:
    """A job that asks a person about three missed times."""
    due = timezone.now().replace(microsecond=0)
    job = make_job(due=due, every_seconds=3600, misfire="review")
    dispatch(due + 2.5 * HOUR)
    assert job.runs.filter(needs_review=True, status=RunStatus.MISSED).count() == 3
    return job


def found(job: CronJob) -> list[tuple[str, str, int | None]]:
    return list(job.runs.order_by("slot").values_list("status", "trigger", "lane"))


MISSED = ("missed", "schedule", None)


@pytest.mark.parametrize(
    ("decision", "queued", "rows"),
    [
        ("skip", 0, [MISSED] * 3),
        ("run_once", 1, [MISSED, MISSED, ("queued", "replay", 0)]),
        (
            "replay_all",
            3,
            [("queued", "replay", 0), ("queued", "replay", None), ("queued", "replay", None)],
        ),
    ],
)
def test_a_person_decides_on_missed_times(
    missed: CronJob, decision: str, queued: int, rows: list[tuple[str, str, int | None]]
) -> None:
    assert handling.review(missed, decision=decision, now=timezone.now()) == queued

    assert found(missed) == rows
    assert not missed.runs.filter(needs_review=True).exists()
    assert told() == min(queued, 1)
    # Whoever comes second finds nothing to decide.
    assert handling.review(missed, decision="replay_all", now=timezone.now()) == 0


@pytest.mark.parametrize(
    ("decision", "queued"), [("skip", 0), ("run_once", 1), ("replay_all", 1500)]
)
def test_all_that_was_missed_is_decided_on_at_once_however_much_it_is(
    make_job: MakeJob, decision: str, queued: int
) -> None:
    job, now = make_job(misfire="review"), timezone.now()
    rows = [
        CronRun(
            job=job,
            slot=now - number * HOUR,
            status=RunStatus.MISSED,
            needs_review=True,
            queued_at=now,
            finished_at=now,
        )
        for number in range(1500)
    ]
    CronRun.objects.bulk_create(rows)

    assert handling.review(job, decision=decision, now=now) == queued

    assert not job.runs.filter(needs_review=True).exists()
    assert job.runs.filter(status=RunStatus.QUEUED, trigger=RunTrigger.REPLAY).count() == queued
    first = job.runs.filter(lane=0).values_list("slot", flat=True)
    assert list(first) == [(rows[0] if queued == 1 else rows[-1]).slot][:queued]


def test_other_decisions_are_refused(missed: CronJob) -> None:
    with pytest.raises(ValidationError, match="Decide on one of skip, run_once, replay_all"):
        handling.review(missed, decision="maybe", now=timezone.now())


def test_what_people_do_is_in_the_audit_trail(
    missed: CronJob, make_job: MakeJob, make_run: MakeRun
) -> None:
    job, now = make_job(), timezone.now()

    with acting(operator):
        run = handling.run_now(job, now=now, parameters={"city": "Brno"})
        handling.cancel(run, now=now, reason="Enough.")
        handling.review(missed, decision="run_once", now=now)
        # There is nothing more to decide, so nothing was done.
        handling.review(missed, decision="skip", now=now)

        begun = make_run(owner=OWNER)
        handling.cancel(begun, now=now, reason="Too dear.")
        # Nor by asking once more what was asked before.
        handling.cancel(begun, now=now, reason="Far too dear.")

    entries = AuditEntry.objects.filter(action__in=["run now", "run cancelled"]).order_by("pk")
    assert [(one.action, one.object_id, one.reason) for one in entries] == [
        ("run now", str(job.pk), ""),
        ("run cancelled", str(job.pk), "Enough."),
        ("run cancelled", str(begun.job_id), "Too dear."),
    ]
    reviewed = AuditEntry.objects.get(action="missed times reviewed")
    assert reviewed.object_id == str(missed.pk)
    assert reviewed.changes["queued"] == [0, 1]
