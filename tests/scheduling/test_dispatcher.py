"""Due jobs become queued runs: each scheduled time once, whoever else is at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import Team
from scheduling import jobs
from scheduling.claiming import claim
from scheduling.dispatcher import AHEAD, dispatch, release
from scheduling.due import next_due
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunStatus, RunTrigger
from scheduling.planning import due_time
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
