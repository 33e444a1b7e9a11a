"""The simulated fleet's audit objects to histories that are wrong: each here is right but for one
thing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F

from governance.models import Team
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.outcomes import Attempt
from tests.scheduling.fleet_audit import Audit
from tests.scheduling.fleet_jobs import START

HOUR = timedelta(hours=1)
RUNS = 5
NOW = START + RUNS * HOUR
SUCCESS = Attempt(status=RunStatus.SUCCEEDED)
UNCONFIRMED = Attempt(status=RunStatus.UNCONFIRMED)


@pytest.fixture
def job(team: Team) -> CronJob:
    """Every hour, and it has been dealt with up to `NOW`."""
    found: CronJob = CronJob.objects.create(
        team=team,
        name="hourly",
        prompt="Well?",
        schedule_kind="every",
        every_seconds=3600,
        anchor_at=START,
        misfire="catch_up",
        next_slot=NOW + HOUR,
    )
    return found


def made(job: CronJob, slot: datetime, **fields: Any) -> CronRun:
    given = {"queued_at": slot, "due_at": slot, "status": RunStatus.QUEUED, "lane": 0, "attempt": 1}
    run: CronRun = CronRun.objects.create(job=job, slot=slot, **given | fields)
    return run


def lived(job: CronJob) -> Audit:
    """The job's runs up to `NOW`, of which all were begun and succeeded."""
    audit = Audit({job.pk: job})
    for number in range(1, RUNS + 1):
        run = made(job, START + number * HOUR)
        audit.began(run)
        run.status, run.finished_at = RunStatus.SUCCEEDED, run.slot
        run.save()
        audit.ended(run, SUCCESS, now=run.slot)
    return audit


def test_a_right_history_is_accounted_for(job: CronJob) -> None:
    audit = lived(job)

    audit.check_in_the_end()

    assert audit.happened["accounted"] == RUNS


def _last() -> Any:
    return CronRun.objects.filter(slot=NOW)


def _third() -> Any:
    return CronRun.objects.filter(slot=START + 3 * HOUR)


WRONG_IN_THE_END: dict[str, Callable[[], Any]] = {
    "a time was dropped": lambda: _third().delete(),
    "the last time was dropped": lambda: _last().delete(),
    "a time is counted that was none": lambda: _third().update(missed_before=1),
    "a time was moved": lambda: _third().update(slot=F("slot") + timedelta(minutes=1)),
    "a run was lost": lambda: _third().update(status=RunStatus.RUNNING, finished_at=None),
    "a success was forgotten": lambda: _third().update(status=RunStatus.FAILED),
    "what was begun is called missed": lambda: _third().update(status=RunStatus.MISSED),
    "a job was left aside": lambda: CronJob.objects.update(last_error="It could not be started."),
    "a job goes on too late": lambda: CronJob.objects.update(next_slot=NOW + 2 * HOUR),
    "a job goes on no more": lambda: CronJob.objects.update(next_slot=None),
    "a job had more runs than it may": lambda: CronJob.objects.update(max_runs=RUNS - 1),
}


@pytest.mark.parametrize("wrong", WRONG_IN_THE_END)
def test_a_history_that_is_wrong_in_the_end_is_objected_to(job: CronJob, wrong: str) -> None:
    audit = lived(job)
    WRONG_IN_THE_END[wrong]()

    with pytest.raises(AssertionError):
        audit.check_in_the_end()


@pytest.mark.parametrize(("hours", "accounted"), [(0, True), (1, False)])
def test_times_that_a_pause_gave_up_are_missed(job: CronJob, hours: int, accounted: bool) -> None:
    audit = lived(job)
    CronJob.objects.update(enabled=False, next_slot=None)
    audit.paused[job.pk] = [NOW + hours * HOUR]

    if accounted:
        audit.check_in_the_end()
    else:
        with pytest.raises(AssertionError, match="dropped by a pause"):
            audit.check_in_the_end()


def late(job: CronJob, hours: int, **fields: Any) -> CronRun:
    """A row for a time so many hours ago, made now."""
    made_up = {"trigger": RunTrigger.CATCH_UP, "lane": None, "reason": "It is made up for."}
    return made(job, NOW - hours * HOUR, **{"queued_at": NOW, **made_up, **fields})


MISSED = {
    "trigger": RunTrigger.SCHEDULE,
    "status": RunStatus.MISSED,
    "reason": "It was missed.",
    "finished_at": NOW,
}
# What a job's schedulers made of four hours in one turn: by policy, the hours ago and what is
# unusual about the rows.
TURNS: dict[str, tuple[bool, dict[str, Any], dict[int, dict[str, Any]]]] = {
    "as many as may are caught up with": (True, {}, {4: MISSED, 3: {}, 2: {}, 1: {}}),
    "one more is caught up with": (False, {}, {4: {}, 3: {}, 2: {}, 1: {}}),
    "one is too old for it": (False, {"catch_up_hours": 2}, {3: {}, 2: {}, 1: {}}),
    "one is made up for though all are skipped": (False, {"misfire": "skip"}, {2: MISSED, 1: {}}),
    "two runs make up for all": (False, {"misfire": "run_once"}, {2: {}, 1: {}}),
    "nobody is asked": (False, {"misfire": "review"}, {1: MISSED}),
    "somebody is asked for nothing": (False, {}, {1: {**MISSED, "needs_review": True}}),
    "a missed one does not say why": (False, {}, {1: {**MISSED, "reason": ""}}),
    "what is late is taken for on time": (False, {}, {1: {"trigger": RunTrigger.SCHEDULE}}),
    "what is on time is called missed": (False, {}, {0: MISSED}),
    "one is skipped though there is room": (
        False,
        {},
        {0: {"trigger": RunTrigger.SCHEDULE, "status": RunStatus.SKIPPED, "finished_at": NOW}},
    ),
    "two have places where one may": (False, {}, {2: {"lane": 0}, 1: {"lane": 1}}),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_that_goes_against_a_policy_is_objected_to(job: CronJob, turn: str) -> None:
    right, policy, rows = TURNS[turn]
    for name, value in policy.items():
        setattr(job, name, value)
    for hours, fields in rows.items():
        late(job, hours, **fields)
    audit = Audit({job.pk: job})

    if right:
        audit.dispatched(NOW)
        assert (audit.happened["caught up"], audit.happened["missed"]) == (3, 1)
    else:
        with pytest.raises(AssertionError):
            audit.dispatched(NOW)


def _again(run: CronRun) -> CronRun:
    """The run as it waits for another attempt."""
    run.status, run.due_at = RunStatus.QUEUED, NOW + HOUR
    return run


@pytest.mark.parametrize("recovered", [False, True])
@pytest.mark.parametrize(
    ("wanted", "status", "right"),
    [
        (False, RunStatus.UNCONFIRMED, True),
        (False, RunStatus.QUEUED, False),
        (True, RunStatus.QUEUED, True),
    ],
)
def test_what_may_have_been_paid_for_is_tried_again_only_if_the_job_says_so(
    job: CronJob, wanted: bool, status: RunStatus, right: bool, recovered: bool
) -> None:
    job.retry_unconfirmed = wanted
    audit, run = Audit({job.pk: job}), CronRun(job=job, slot=NOW, attempt=1)
    audit.began(run)
    run.status, run.due_at = status, NOW + HOUR

    def note() -> None:
        if recovered:
            audit.broken_off(run, entered=True, now=NOW)
        else:
            audit.ended(run, UNCONFIRMED, now=NOW)

    if right:
        note()
    else:
        with pytest.raises(AssertionError):
            note()


def test_a_failure_that_does_not_pass_is_not_tried_again(job: CronJob) -> None:
    audit, run = Audit({job.pk: job}), CronRun(job=job, slot=NOW, attempt=1)
    audit.began(run)

    with pytest.raises(AssertionError):
        audit.ended(_again(run), Attempt(status=RunStatus.FAILED), now=NOW)


def test_a_run_is_begun_once_and_no_more_often_than_it_may_be_tried(job: CronJob) -> None:
    audit, run = Audit({job.pk: job}), CronRun(job=job, slot=NOW, attempt=1)
    audit.began(run)
    with pytest.raises(AssertionError, match="was under way"):
        audit.began(run)

    audit.ended(_again(run), Attempt(status=RunStatus.FAILED, passes=True), now=NOW)
    run.attempt = 2
    with pytest.raises(AssertionError, match="tried too often"):
        audit.began(run)


def test_no_more_of_a_jobs_runs_are_under_way_than_may_be(job: CronJob) -> None:
    audit = Audit({job.pk: job})
    audit.began(CronRun(pk=uuid4(), job=job, slot=NOW, attempt=1))

    with pytest.raises(AssertionError, match="begun beside too many"):
        audit.began(CronRun(pk=uuid4(), job=job, slot=NOW + HOUR, attempt=1))
