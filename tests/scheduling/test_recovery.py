"""Runs that nobody is looking after are told of again or closed, and it is said why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import CallStatus, ModelCall, ProcessHeartbeat
from scheduling import handling
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.recovery import (
    DELIVERY_PATIENCE,
    LONGEST_RUN,
    NOT_BEGUN,
    end_broken_off,
    find_undue,
    promote_waiting,
    tell_again,
)
from tests.scheduling.conftest import MakeJob, MakeRun

LATER = DELIVERY_PATIENCE + timedelta(seconds=1)
OWNER = uuid4()


def told() -> list[int]:
    return [message.task["args"][0] for message in OrmQ.objects.order_by("id")]


def begin_call(run: CronRun, status: str = CallStatus.UNCONFIRMED, **fields: Any) -> ModelCall:
    """The ledger's row of a run's call."""
    call: ModelCall = ModelCall.objects.create(
        pk=run.call_id,
        team=run.job.team,
        run_id=run.pk,
        surface="schedule",
        task_class="background_automation",
        requested_model="auto",
        provider="fake",
        model="echo",
        status=status,
        admitted_at=timezone.now(),
        **fields,
    )
    return call


def alive() -> ProcessHeartbeat:
    now = timezone.now()
    process: ProcessHeartbeat = ProcessHeartbeat.objects.create(
        id=OWNER, role="worker", host="here", pid=1, started_at=now, seen_at=now
    )
    return process


def test_runs_that_nobody_takes_are_told_of_again(make_run: MakeRun) -> None:
    run = make_run()
    now = run.queued_at + LATER

    assert tell_again(now - LATER + DELIVERY_PATIENCE) == 0
    assert (tell_again(now), told()) == (1, [1])
    # They were told just now, so nothing more is sent.
    assert tell_again(now + timedelta(seconds=5)) == 0


def test_a_run_that_was_left_waiting_beside_a_free_place_gets_it(make_run: MakeRun) -> None:
    run = make_run(overlap="queue_one")
    waiting = handling.run_now(run.job, now=timezone.now())
    CronRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCEEDED)
    OrmQ.objects.all().delete()

    assert (promote_waiting(timezone.now()), told()) == (1, [1])

    waiting.refresh_from_db()
    assert waiting.lane == 0
    assert promote_waiting(timezone.now()) == 0


def test_a_run_whose_call_had_begun_is_unconfirmed(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER, max_attempts=5), timezone.now()
    begin_call(run, cost=77)

    assert end_broken_off(now, silence_counts=True) == 1

    run.refresh_from_db()
    assert (run.status, run.finished_at) == (RunStatus.UNCONFIRMED, now)
    assert (run.cost, run.model) == (77, "fake/echo")
    assert "Whether the provider answered is not known" in run.reason
    assert end_broken_off(now, silence_counts=True) == 0


def test_it_is_tried_again_only_if_its_job_says_so(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, max_attempts=2, retry_unconfirmed=True)
    begin_call(run)

    end_broken_off(timezone.now(), silence_counts=True)

    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED
    assert run.attempts[0]["status"] == "unconfirmed"


def test_a_run_whose_call_had_not_begun_is_made_after_all(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER), timezone.now()

    assert end_broken_off(now, silence_counts=True) == 1

    run.refresh_from_db()
    assert (run.status, run.attempt, run.deferrals) == (RunStatus.QUEUED, 0, 1)
    # Should the process only have seemed dead, the ledger refuses its call.
    call = ModelCall.objects.get()
    assert (call.pk, call.status, call.cost) == (run.call_id, CallStatus.FAILED, 0)
    assert "nothing was sent" in call.error


def test_a_call_that_was_forestalled_stays_so_if_the_end_of_its_run_was_lost(
    make_run: MakeRun,
) -> None:
    run, now = make_run(owner=OWNER), timezone.now()
    end_broken_off(now, silence_counts=True)
    # As if the end had not been written.
    CronRun.objects.update(status=RunStatus.RUNNING, token=run.token, owner=OWNER, attempt=1)

    end_broken_off(now, silence_counts=True)

    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.QUEUED, NOT_BEGUN)


@pytest.mark.parametrize(
    ("call", "failure_class", "status"),
    [
        (CallStatus.BLOCKED, "", RunStatus.BLOCKED_BY_BUDGET),
        (CallStatus.FAILED, "auth_invalid", RunStatus.FAILED),
        (CallStatus.FAILED, "transient_upstream", RunStatus.QUEUED),
        (CallStatus.SUCCEEDED, "", RunStatus.UNCONFIRMED),
    ],
)
def test_a_call_that_ended_says_how_its_run_did(
    make_run: MakeRun, call: str, failure_class: str, status: RunStatus
) -> None:
    run = make_run(owner=OWNER, max_attempts=2)
    begin_call(run, call, failure_class=failure_class, error="So it is.")

    end_broken_off(timezone.now(), silence_counts=True)

    run.refresh_from_db()
    assert run.status == status


def test_a_cancelled_run_whose_worker_died_before_the_call_is_cancelled(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER)
    handling.cancel(run, now=timezone.now(), reason="Enough.")

    end_broken_off(timezone.now(), silence_counts=True)

    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "Enough.")


def test_a_job_of_the_version_before_is_given_a_time_at_which_it_is_due(make_job: MakeJob) -> None:
    job = make_job()
    CronJob.objects.update(due_at=None)

    assert find_undue() == 1

    job.refresh_from_db()
    assert job.due_at == job.next_slot
    assert find_undue() == 0


def test_a_run_whose_call_came_to_wait_waits_with_it(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER)
    begin_call(run, CallStatus.WAITING)

    end_broken_off(timezone.now(), silence_counts=True)

    run.refresh_from_db()
    assert (run.status, run.finished_at) == (RunStatus.WAITING_FOR_APPROVAL, None)


@pytest.mark.parametrize(("silence_counts", "closed"), [(True, 1), (False, 0)])
def test_a_process_that_was_not_heard_of_is_dead_unless_everybody_was_silent(
    make_run: MakeRun, silence_counts: bool, closed: int
) -> None:
    begin_call(make_run(owner=OWNER))
    process = alive()
    now = process.seen_at + timedelta(minutes=5)

    assert end_broken_off(now, silence_counts=silence_counts) == closed


def test_a_process_that_was_struck_out_is_dead_in_any_case(make_run: MakeRun) -> None:
    begin_call(make_run(owner=OWNER))

    assert end_broken_off(timezone.now(), silence_counts=False) == 1


def test_a_run_whose_process_lives_goes_on_but_not_for_ever(make_run: MakeRun) -> None:
    begin_call(make_run(owner=OWNER))
    alive()

    assert end_broken_off(timezone.now(), silence_counts=True) == 0
    ProcessHeartbeat.objects.update(seen_at=timezone.now() + 2 * LONGEST_RUN)
    assert end_broken_off(timezone.now() + 2 * LONGEST_RUN, silence_counts=True) == 1


def test_what_has_ended_is_left_alone(make_run: MakeRun) -> None:
    run = make_run()
    CronRun.objects.update(status=RunStatus.SUCCEEDED, owner=OWNER)

    assert tell_again(run.queued_at + LATER) == 0
    assert end_broken_off(run.queued_at + LATER, silence_counts=True) == 0
