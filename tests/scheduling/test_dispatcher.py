"""Due jobs become queued runs: each scheduled time once, whoever else is at it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import Team
from scheduling import dispatcher, handling, jobs, messages
from scheduling.dispatcher import RETRY_AFTER, dispatch, next_due
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.planning import plan
from tests.scheduling.conftest import MakeJob

MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return timezone.now().replace(microsecond=0)


def queued_pairs() -> list[tuple[str, str]]:
    """The runs and tokens of every message in the queue."""
    return [pair for message in OrmQ.objects.order_by("id") for pair in message.task["args"][0]]


def test_a_due_job_becomes_a_queued_run_and_a_message(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due)

    assert dispatch(due + timedelta(seconds=1)) == 1

    run = CronRun.objects.get()
    assert (run.job, run.slot, run.status, run.trigger) == (
        job,
        due,
        RunStatus.QUEUED,
        RunTrigger.SCHEDULE,
    )
    assert (run.missed_before, run.reason) == (0, "")
    assert queued_pairs() == [(str(run.id), str(run.token))]
    job.refresh_from_db()
    assert job.next_slot == due + MINUTE
    assert dispatch(due + timedelta(seconds=1)) == 0
    assert CronRun.objects.count() == 1


def test_jobs_that_are_not_due_are_left_alone(make_job: MakeJob) -> None:
    due = now()
    make_job(due=due + timedelta(seconds=1))
    jobs.pause(make_job(due=due), reason="", now=due)

    assert dispatch(due) == 0
    assert not CronRun.objects.exists()
    assert next_due() == due + timedelta(seconds=1)


def test_missed_times_are_counted_and_only_the_latest_is_run(make_job: MakeJob) -> None:
    due = now()
    make_job(due=due)

    dispatch(due + 90 * MINUTE + timedelta(seconds=5))

    run = CronRun.objects.get()
    assert (run.slot, run.missed_before) == (due + 90 * MINUTE, 90)


def test_a_single_time_is_run_once_and_then_never(make_job: MakeJob) -> None:
    at = now() + timedelta(days=1)
    job = make_job(schedule_kind="at", at=at)

    dispatch(at)

    job.refresh_from_db()
    assert job.next_slot is None
    assert next_due() is None
    assert dispatch(at + timedelta(days=1)) == 0
    assert CronRun.objects.get().slot == at


@pytest.mark.parametrize(
    ("status", "words"),
    [(RunStatus.QUEUED, "still waiting"), (RunStatus.RUNNING, "still under way")],
)
def test_while_a_run_is_active_the_next_is_skipped_and_says_why(
    make_job: MakeJob, status: RunStatus, words: str
) -> None:
    due = now()
    make_job(due=due)
    dispatch(due)
    CronRun.objects.update(status=status)

    dispatch(due + MINUTE)

    skipped = CronRun.objects.get(slot=due + MINUTE)
    assert skipped.status == RunStatus.SKIPPED
    assert words in skipped.reason
    assert skipped.finished_at == due + MINUTE
    assert len(queued_pairs()) == 1


def test_a_disabled_teams_runs_are_skipped_and_say_why(make_job: MakeJob, team: Team) -> None:
    due = now()
    make_job(due=due)
    team.enabled = False
    team.save()

    dispatch(due)

    run = CronRun.objects.get()
    assert (run.status, run.reason) == (RunStatus.SKIPPED, "The team is disabled.")
    assert queued_pairs() == []


def test_one_bad_job_does_not_keep_the_others_from_running(make_job: MakeJob) -> None:
    due = now()
    bad = make_job(schedule_kind="cron", cron="* * * * *", due=due)
    CronJob.objects.filter(pk=bad.pk).update(cron="0 0 30 2 *")
    good = [make_job(due=due + timedelta(seconds=second)) for second in range(3)]

    dispatch(due + timedelta(seconds=3))

    assert {run.job for run in CronRun.objects.all()} == set(good)
    bad.refresh_from_db()
    assert "The date never comes" in bad.last_error
    assert bad.next_slot == due
    # It is tried again later, not at once, and does not count as due meanwhile.
    assert dispatch(due + timedelta(seconds=4)) == 0
    assert next_due() != due
    assert dispatch(due + timedelta(seconds=3) + RETRY_AFTER) == 1


def test_a_mended_job_runs_at_once(make_job: MakeJob) -> None:
    due = now()
    job = make_job(schedule_kind="cron", cron="* * * * *", due=due)
    CronJob.objects.update(cron="broken")
    dispatch(due)
    job.refresh_from_db()

    jobs.update_job(job, cron="*/2 * * * *", now=due)

    assert job.last_error == ""
    assert job.next_slot is not None
    assert dispatch(job.next_slot) == 1
    assert CronRun.objects.get().slot == job.next_slot


def test_a_run_the_database_refuses_leaves_the_job_as_it_was(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = now()
    job, other = make_job(due=due), make_job(due=due)
    # The active run is there, but was not to be seen when the dispatcher looked.
    handling.run_now(job, now=due)
    monkeypatch.setattr(dispatcher, "_active_runs", lambda jobs: {})

    dispatch(due)

    job.refresh_from_db()
    assert (job.next_slot, job.retry_at) == (due, due + RETRY_AFTER)
    assert "the database refused its run" in job.last_error
    assert CronRun.objects.get(job=other).status == RunStatus.QUEUED


def test_a_time_that_has_had_its_run_gets_no_second_one(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due)
    dispatch(due)
    CronRun.objects.update(status=RunStatus.SUCCEEDED)
    CronJob.objects.update(next_slot=due)

    dispatch(due + timedelta(seconds=1))

    job.refresh_from_db()
    assert (job.next_slot, job.last_error) == (due + MINUTE, "")
    assert CronRun.objects.count() == 1


def test_a_job_edited_in_between_is_left_to_the_next_turn(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = now()
    job = make_job(due=due)

    def plan_and_then_edit(*args: Any, **kwargs: Any) -> Any:
        jobs.update_job(job, every_seconds=7, now=due)
        monkeypatch.setattr(dispatcher, "plan", plan)
        return plan(*args, **kwargs)

    monkeypatch.setattr(dispatcher, "plan", plan_and_then_edit)
    dispatch(due)

    assert not CronRun.objects.exists()
    job.refresh_from_db()
    assert job.next_slot == due + timedelta(seconds=7)


def test_many_due_jobs_are_dealt_with_in_turns_and_in_batches(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MOST_JOBS_A_TURN", 5)
    due = now()
    for _ in range(12):
        make_job(due=due)

    assert [dispatch(due) for _ in range(4)] == [5, 5, 2, 0]

    assert CronRun.objects.filter(status=RunStatus.QUEUED).count() == 12
    assert len(queued_pairs()) == 12
    assert OrmQ.objects.count() < 12


@pytest.mark.parametrize(
    ("count", "workers", "sizes"),
    [(0, 2, []), (1, 2, [1]), (3, 2, [2, 1]), (100, 2, [50, 50]), (120, 2, [50, 50, 20])],
)
def test_batches_share_the_runs_out(count: int, workers: int, sizes: list[int]) -> None:
    pairs = [(str(number), "token") for number in range(count)]

    found = messages.batches(pairs, workers)

    assert [len(batch) for batch in found] == sizes
    assert [pair for batch in found for pair in batch] == pairs


@pytest.mark.django_db(transaction=True)
def test_several_dispatchers_at_once_run_each_time_once(make_job: MakeJob) -> None:
    due = now()
    for _ in range(40):
        make_job(due=due)
    start = threading.Barrier(4)

    def dispatch_everything(_: int) -> None:
        try:
            start.wait()
            for second in range(4):
                # The jobs fall due again and again while all are at it.
                while dispatch(due + second * MINUTE):
                    CronRun.objects.update(status=RunStatus.SUCCEEDED)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(dispatch_everything, range(4)))

    runs = CronRun.objects.values_list("job_id", "slot", "missed_before")
    assert len(runs) == len({(job, slot) for job, slot, _ in runs})
    # Every scheduled time has a run or is counted by the one that passed it over.
    assert sum(1 + missed for _, _, missed in runs) == 40 * 4
    assert set(CronJob.objects.values_list("next_slot", flat=True)) == {due + 4 * MINUTE}
    assert set(CronJob.objects.values_list("last_error", flat=True)) == {""}
