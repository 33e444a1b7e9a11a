"""Due jobs become queued runs: each scheduled time once, whoever else is at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import Team
from scheduling import cancelling, dispatcher, handling, jobs, kept_runs, messages, places
from scheduling.claiming import claim
from scheduling.dispatcher import AHEAD, RETRY_AFTER, dispatch, next_due, release
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunStatus, RunTrigger
from scheduling.overlap import Places
from scheduling.planning import due_time, plan
from tests.scheduling.conftest import MakeJob

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def now() -> datetime:
    return timezone.now().replace(microsecond=0)


def told() -> list[int]:
    """How many runs each message in the queue is for."""
    return [message.task["args"][0] for message in OrmQ.objects.order_by("id")]


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
    assert (run.lane, run.due_at, run.sent_at) == (0, due, due + timedelta(seconds=1))
    assert told() == [1]
    job.refresh_from_db()
    assert job.next_slot == due + MINUTE
    assert dispatch(due + timedelta(seconds=1)) == 0
    assert CronRun.objects.count() == 1


def test_a_job_is_dispatched_ahead_of_its_time_and_its_run_still_is_due_then(
    make_job: MakeJob,
) -> None:
    due = now()
    job = make_job(due=due)
    early = due - AHEAD

    assert dispatch(early - timedelta(microseconds=1), ahead=AHEAD) == 0
    assert dispatch(early, ahead=AHEAD) == 1

    run = CronRun.objects.get()
    assert (run.slot, run.due_at, run.queued_at) == (due, due, early)
    assert (run.status, run.missed_before, told()) == (RunStatus.QUEUED, 0, [1])
    job.refresh_from_db()
    assert job.next_slot == due + MINUTE
    assert dispatch(due, ahead=AHEAD) == 0


@pytest.mark.parametrize("overlap", ["forbid", "queue_one", "replace"])
def test_whether_there_is_a_place_is_seen_when_the_run_is_due(
    make_job: MakeJob, overlap: str
) -> None:
    due = now()
    job = make_job(due=due, overlap=overlap)
    dispatch(due)
    (first,) = claim(uuid4(), foreground=1, background=1, now=due)

    assert dispatch(due + MINUTE - AHEAD, ahead=AHEAD) == 0
    assert CronRun.objects.get().status == RunStatus.RUNNING
    CronRun.objects.filter(pk=first.pk).update(
        status=RunStatus.SUCCEEDED, lane=None, finished_at=due + MINUTE
    )

    assert dispatch(due + MINUTE, ahead=AHEAD) == 1
    later = CronRun.objects.get(slot=due + MINUTE)
    assert (later.job, later.status, later.reason) == (job, RunStatus.QUEUED, "")


def test_jobs_that_are_not_due_are_left_alone(make_job: MakeJob) -> None:
    due = now()
    make_job(due=due + timedelta(seconds=1))
    jobs.pause(make_job(due=due), reason="Holidays.", now=due - timedelta(seconds=1))

    assert dispatch(due) == 0
    assert not CronRun.objects.exists()
    assert next_due() == due + timedelta(seconds=1)


def statuses(job: CronJob) -> dict[datetime, str]:
    return dict(job.runs.values_list("slot", "status"))


@pytest.mark.parametrize(
    ("misfire", "queued", "review"),
    [("skip", [], 0), ("run_once", [3], 0), ("catch_up", [2, 3], 0), ("review", [], 4)],
)
def test_missed_times_are_dealt_with_as_the_job_wants(
    make_job: MakeJob, misfire: str, queued: list[int], review: int
) -> None:
    due = now()
    job = make_job(due=due, every_seconds=3600, misfire=misfire, catch_up_limit=2)

    dispatch(due + 3.5 * HOUR)

    slots = [due + number * HOUR for number in range(4)]
    wanted = {
        slot: RunStatus.QUEUED if slots.index(slot) in queued else RunStatus.MISSED
        for slot in slots
    }
    assert statuses(job) == wanted
    assert job.runs.filter(needs_review=True).count() == review
    assert all(run.reason for run in job.runs.filter(status=RunStatus.MISSED))
    # Those that are caught up with are made one after the other.
    assert job.runs.filter(status=RunStatus.QUEUED, lane=0).count() == min(1, len(queued))
    job.refresh_from_db()
    assert job.next_slot == due + 4 * HOUR


def test_more_missed_times_than_get_a_row_are_counted(make_job: MakeJob) -> None:
    due = now()
    make_job(due=due)

    dispatch(due + 900 * MINUTE + timedelta(seconds=5))

    assert sum(1 + run.missed_before for run in CronRun.objects.all()) == 901
    assert CronRun.objects.count() < 110


def test_a_job_with_jitter_begins_late_and_goes_on_in_time(make_job: MakeJob) -> None:
    due = now()
    job = make_job(jitter_seconds=50)
    job.move(next_slot=due, due_at=due + timedelta(seconds=20), anchor_at=due)
    at = due_time(job.pk, due, 50, due + MINUTE)

    assert dispatch(due + timedelta(seconds=19)) == 0
    assert dispatch(max(at, due + timedelta(seconds=20))) == 1

    assert CronRun.objects.get().due_at == at
    job.refresh_from_db()
    assert job.next_slot == due + MINUTE
    assert job.due_at == due_time(job.pk, due + MINUTE, 50, due + 2 * MINUTE)


def test_a_job_ends_with_its_last_run_and_skipped_ones_are_none(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due, max_runs=2)
    dispatch(due)
    # The first is under way still, so this one is skipped and leaves a run to come.
    dispatch(due + MINUTE)
    CronRun.objects.filter(slot=due).update(status=RunStatus.SUCCEEDED)
    dispatch(due + 2 * MINUTE)

    assert list(statuses(job).values()) == ["queued", "skipped", "succeeded"]
    job.refresh_from_db()
    assert (job.run_count, job.next_slot, job.due_at) == (2, None, None)


def test_days_of_a_calendar_are_left_out(make_job: MakeJob, team: Team) -> None:
    calendar = ExclusionCalendar.objects.create(name="Holidays", team=team, dates=["2030-12-25"])
    job = make_job(
        schedule_kind="cron",
        cron="0 9 * * *",
        calendars=[calendar],
        now=datetime(2030, 12, 24, 12, tzinfo=UTC),
    )

    assert job.next_slot == datetime(2030, 12, 26, 9, tzinfo=UTC)


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
    [
        (RunStatus.QUEUED, "still waiting to begin"),
        (RunStatus.RUNNING, "still under way"),
        (RunStatus.WAITING_FOR_APPROVAL, "still waiting for approval"),
    ],
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
    assert told() == [1]


def test_one_run_waits_and_a_second_is_skipped(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due, overlap="queue_one")
    for number in range(3):
        dispatch(due + number * MINUTE)

    assert list(job.runs.order_by("slot").values_list("status", "lane")) == [
        ("queued", 0),
        ("queued", None),
        ("skipped", None),
    ]
    assert told() == [1]


def test_a_newer_run_replaces_what_has_not_begun_and_cancels_what_has(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due, overlap="replace")
    dispatch(due)
    dispatch(due + MINUTE)

    first, second = job.runs.order_by("slot")
    assert (first.status, second.status, second.lane) == ("cancelled", "queued", 0)
    assert "in favour of the run of" in first.reason
    assert told() == [1, 1]

    CronRun.objects.filter(pk=second.pk).update(status=RunStatus.RUNNING)
    dispatch(due + 2 * MINUTE)
    second.refresh_from_db()
    third = job.runs.get(slot=due + 2 * MINUTE)
    assert (second.status, second.cancel_requested_at) == ("running", due + 2 * MINUTE)
    assert (third.status, third.lane) == ("queued", None)


def test_as_many_runs_as_may_are_made_beside_each_other(make_job: MakeJob) -> None:
    due = now()
    job = make_job(due=due, overlap="allow", max_parallel=2)
    for number in range(3):
        dispatch(due + number * MINUTE)

    assert list(job.runs.order_by("slot").values_list("status", "lane")) == [
        ("queued", 0),
        ("queued", 1),
        ("skipped", None),
    ]


def test_a_retry_is_told_of_when_it_is_due(make_job: MakeJob) -> None:
    due = now()
    make_job(due=due)
    dispatch(due)
    OrmQ.objects.all().delete()
    CronRun.objects.update(sent_at=None, due_at=due + 0.5 * MINUTE)

    assert next_due() == due + 0.5 * MINUTE
    assert (release(due), told()) == (0, [])
    assert (release(due + 0.5 * MINUTE), told()) == (1, [1])
    assert release(due + 0.5 * MINUTE) == 0
    assert next_due() == due + MINUTE


def test_a_disabled_teams_runs_are_skipped_and_say_why(make_job: MakeJob, team: Team) -> None:
    due = now()
    make_job(due=due)
    team.enabled = False
    team.save()

    dispatch(due)

    run = CronRun.objects.get()
    assert (run.status, run.reason) == (RunStatus.SKIPPED, "The team is disabled.")
    assert told() == []


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
