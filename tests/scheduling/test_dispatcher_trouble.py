"""Dispatching when things go wrong: bad jobs, refusals, outages, and others at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduling import cancelling, dispatcher, handling, jobs, kept_runs, messages, places
from scheduling.claiming import claim
from scheduling.dispatcher import AHEAD, RETRY_AFTER, dispatch, release
from scheduling.due import next_due
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import Places
from scheduling.planning import plan
from tests.scheduling.conftest import MakeJob
from tests.scheduling.test_dispatcher import MINUTE, now, statuses, told


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
    again = due + timedelta(seconds=3) + RETRY_AFTER
    assert next_due() == again
    assert dispatch(again) == 1


def test_a_job_that_was_set_aside_wakes_the_scheduler(make_job: MakeJob) -> None:
    # So that no other time comes before it is tried again.
    due = now().replace(second=5)
    bad = make_job(schedule_kind="cron", cron="* * * * *", due=due)
    CronJob.objects.filter(pk=bad.pk).update(cron="0 0 30 2 *")
    dispatch(due)
    assert next_due() == due + RETRY_AFTER
    CronJob.objects.filter(pk=bad.pk).update(cron="* * * * *")

    assert dispatch(due + RETRY_AFTER, ahead=AHEAD) == 1

    assert CronRun.objects.get().slot == due
    bad.refresh_from_db()
    assert next_due() == bad.next_slot != due


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
    queued = CronRun.objects.get(status=RunStatus.QUEUED)
    assert queued.slot == job.next_slot


def nothing_under_way(jobs: Iterable[CronJob]) -> dict[Any, Places]:
    return {job.pk: Places(overlap=job.overlap, max_parallel=job.max_parallel) for job in jobs}


def test_a_run_the_database_refuses_leaves_the_job_as_it_was(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = now()
    job, other = make_job(due=due), make_job(due=due)
    # The active run is there, but was not to be seen when the dispatcher looked.
    handling.run_now(job, now=due)
    monkeypatch.setattr(places, "read", nothing_under_way)

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
    CronJob.objects.update(next_slot=due, due_at=due)

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

    assert statuses(job) == {due: RunStatus.SKIPPED}
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
    assert sum(told()) == 12
    assert len(told()) < 12


def test_what_an_outage_left_is_written_a_little_at_a_time_and_keeps_nothing_on_time_waiting(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MOST_ROWS_A_TURN", 25)
    monkeypatch.setattr(dispatcher, "MOST_JOBS_A_TURN", 5)
    due = now()
    for _ in range(6):
        make_job(due=due, misfire="catch_up", catch_up_limit=8)
    later = due + 9.5 * MINUTE
    on_time = [make_job(due=due + 9 * MINUTE) for _ in range(2)]

    # Each of the late ones has ten times: the turn ends with the third of them.
    assert dispatch(later) == 2 + 3

    assert CronRun.objects.count() == 2 + 3 * 10
    assert all(job.runs.count() == 1 for job in on_time)
    assert [dispatch(later) for _ in range(2)] == [3, 0]
    assert CronRun.objects.count() == 2 + 6 * 10


@pytest.mark.parametrize(
    ("count", "workers", "shares"),
    [(0, 2, []), (1, 2, [1]), (3, 2, [2, 1]), (100, 2, [50, 50]), (120, 2, [50, 50, 20])],
)
def test_messages_share_the_runs_out(count: int, workers: int, shares: list[int]) -> None:
    assert messages.shares(count, workers) == shares


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
                    queued = CronRun.objects.filter(status=RunStatus.QUEUED)
                    queued.update(status=RunStatus.SUCCEEDED)
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


def test_an_outage_while_missed_times_are_being_caught_up_with_stops_nothing(
    make_job: MakeJob,
) -> None:
    due = now()
    job = make_job(due=due, misfire="catch_up")
    dispatch(due + 4 * MINUTE)
    dispatch(due + 8 * MINUTE)

    job.refresh_from_db()
    assert (job.last_error, job.next_slot) == ("", due + 9 * MINUTE)
    assert job.runs.count() == 9
    waiting = job.runs.filter(status=RunStatus.QUEUED, lane=None, trigger=RunTrigger.SCHEDULE)
    assert waiting.count() == 1


@pytest.mark.parametrize(
    "name", ["dispatch", "release", "next_due", "claim", "asked_of", "read", "waiting", "conclude"]
)
def test_what_is_looked_for_all_the_time_is_found_by_an_index(make_job: MakeJob, name: str) -> None:
    job, owner = make_job(), uuid4()
    looks: dict[str, Callable[[], object]] = {
        "dispatch": lambda: dispatch(now()),
        "release": lambda: release(now()),
        "next_due": next_due,
        "claim": lambda: claim(owner, foreground=1, background=1, now=now()),
        "asked_of": lambda: cancelling.asked_of(owner),
        "read": lambda: places.read([job]),
        "waiting": lambda: places.jobs_with_waiting_runs(10),
        "conclude": lambda: kept_runs.conclude(now()),
    }
    if connection.vendor == "postgresql":
        # Without rows it reads the table, unless that is made dear.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as asked:
        looks[name]()

    queries = [one["sql"] for one in asked if one["sql"].startswith("SELECT")]
    assert queries
    for sql in queries:
        with connection.cursor() as cursor:
            how = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
            cursor.execute(how + sql)
            plan_of_it = " ".join(str(cell) for row in cursor.fetchall() for cell in row)
        assert "Seq Scan on scheduling" not in plan_of_it, sql
        for table in ("scheduling_cronrun", "scheduling_cronjob"):
            assert f"SCAN {table} " not in f"{plan_of_it} " or "INDEX" in plan_of_it, plan_of_it
