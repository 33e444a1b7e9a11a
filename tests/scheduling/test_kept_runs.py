"""Runs whose call waits for approval end as that call does."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from governance.models import CallStatus, KeptCall, ModelCall
from scheduling import handling
from scheduling.endings import Ended, finish
from scheduling.kept_runs import conclude
from scheduling.models import CronRun, RunStatus
from scheduling.outcomes import Attempt
from tests.scheduling.conftest import MakeRun

OWNER = uuid4()
ANSWER = {"body": {"choices": [{"message": {"content": "Fine."}}]}}


def call_of(run: CronRun) -> UUID:
    assert run.call_id is not None
    return run.call_id


def waiting(make_run: MakeRun, **fields: Any) -> CronRun:
    """A run whose call is kept until somebody decides."""
    run, now = make_run(owner=OWNER, **fields), timezone.now()
    finish([Ended(run, Attempt(status=RunStatus.WAITING_FOR_APPROVAL, reason="Past March."))], now)
    KeptCall.objects.create(
        pk=call_of(run), team=run.job.team, request={}, created_at=now, expires_at=now
    )
    ModelCall.objects.create(
        pk=call_of(run),
        team=run.job.team,
        run_id=run.pk,
        surface="schedule",
        task_class="background_automation",
        requested_model="auto",
        provider="fake",
        model="echo",
        status=CallStatus.WAITING,
        admitted_at=now,
        decision={"explanation": ["The only model."]},
    )
    return run


def end(run: CronRun, status: str, *, kept: dict[str, Any] | None = None, **call: Any) -> None:
    """The kept call ends, with an answer or an error."""
    KeptCall.objects.filter(pk=call_of(run)).update(ended_at=timezone.now(), **(kept or {}))
    ModelCall.objects.filter(pk=call_of(run)).update(status=status, **call)


def test_a_run_waits_while_its_call_does(make_run: MakeRun) -> None:
    run = waiting(make_run)

    assert conclude(timezone.now()) == 0

    run.refresh_from_db()
    assert (run.status, run.reason, run.finished_at) == (
        RunStatus.WAITING_FOR_APPROVAL,
        "Past March.",
        None,
    )
    # It has its job's place all the while.
    assert run.lane == 0


def test_an_answer_is_the_runs(make_run: MakeRun) -> None:
    run, now = waiting(make_run), timezone.now()
    used = {"uncached_input_tokens": 7, "cache_read_tokens": 3, "output_tokens": 5, "cost": 1234}
    end(run, CallStatus.SUCCEEDED, kept={"answer": ANSWER}, **used)

    assert conclude(now, call_ids=[uuid4()]) == 0
    assert conclude(now, call_ids=[call_of(run)]) == 1

    run.refresh_from_db()
    assert (run.status, run.output, run.finished_at) == (RunStatus.SUCCEEDED, "Fine.", now)
    assert (run.input_tokens, run.output_tokens, run.cost) == (10, 5, 1234)
    assert (run.model, run.explanation, run.reason) == ("fake/echo", "The only model.", "")
    assert conclude(now) == 0


def test_an_answer_that_is_not_what_the_job_asks_for_is_a_failure(make_run: MakeRun) -> None:
    run = waiting(make_run, output_format="json")
    end(run, CallStatus.SUCCEEDED, kept={"answer": ANSWER})

    conclude(timezone.now())

    run.refresh_from_db()
    assert (run.status, run.failure_class) == (RunStatus.FAILED, "invalid_output")


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (CallStatus.DENIED, RunStatus.DENIED),
        (CallStatus.BLOCKED, RunStatus.BLOCKED_BY_BUDGET),
        (CallStatus.FAILED, RunStatus.FAILED),
        (CallStatus.UNCONFIRMED, RunStatus.UNCONFIRMED),
    ],
)
def test_a_call_without_an_answer_ends_its_run_in_its_words(
    make_run: MakeRun, call: str, status: RunStatus
) -> None:
    run = waiting(make_run)
    end(run, call, error="Eve denied it.")

    conclude(timezone.now())

    run.refresh_from_db()
    assert (run.status, run.reason) == (status, "Eve denied it.")


def test_an_answer_that_was_lost_is_said_to_be(make_run: MakeRun) -> None:
    run = waiting(make_run)
    end(run, CallStatus.SUCCEEDED, cost=77)

    conclude(timezone.now())

    run.refresh_from_db()
    assert (run.status, run.cost) == (RunStatus.UNCONFIRMED, 77)
    assert "before it kept the answer" in run.reason


def test_a_cancelled_run_withdraws_its_call(make_run: MakeRun) -> None:
    run = waiting(make_run)

    handling.cancel(run, now=timezone.now(), reason="No longer wanted.")
    conclude(timezone.now())

    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "No longer wanted.")
    assert ModelCall.objects.get().status == CallStatus.CANCELLED
    assert KeptCall.objects.get().ended_at is not None
