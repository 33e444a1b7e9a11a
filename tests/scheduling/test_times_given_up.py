"""Times that have come and are given up, by a pause or another schedule: none in silence."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling import calendars, handling, jobs
from scheduling.dispatcher import dispatch
from scheduling.models import CronRun, RunStatus, RunTrigger
from tests.scheduling.conftest import MakeJob


@pytest.mark.parametrize("paused", [True, False])
def test_a_time_that_has_come_and_is_given_up_has_a_row_that_says_why(
    make_job: MakeJob, paused: bool
) -> None:
    due = timezone.now().replace(microsecond=0)
    job, now = make_job(due=due), due + timedelta(seconds=5)

    if paused:
        jobs.pause(job, reason="Holidays.", now=now)
    else:
        jobs.update_job(job, now=now, every_seconds=300)

    run = job.runs.get()
    words = "paused" if paused else "changed"
    assert (run.slot, run.status) == (due, RunStatus.SKIPPED)
    assert f"{words} before it began" in run.reason


def test_what_waits_behind_a_run_does_not_run_once_the_job_is_paused(make_job: MakeJob) -> None:
    due = timezone.now().replace(microsecond=0)
    job = make_job(due=due, misfire="catch_up", overlap="queue_one", max_runs=9)
    now = due + timedelta(minutes=3)
    dispatch(now)
    by_hand = handling.run_now(make_job(overlap="queue_one"), now=now)
    CronRun.objects.filter(pk=by_hand.pk).update(job=job, lane=None)
    assert [run.lane for run in job.runs.order_by("slot", "id")].count(None) == 4

    jobs.pause(job, reason="Too dear.", now=now)

    first, *waiting = job.runs.exclude(pk=by_hand.pk).order_by("slot")
    assert first.status == RunStatus.QUEUED
    assert {(run.status, run.reason, run.finished_at) for run in waiting} == {
        (RunStatus.SKIPPED, "It was paused before it began.", now)
    }
    by_hand.refresh_from_db()
    assert by_hand.status == RunStatus.QUEUED
    # Those that never ran are none of the nine.
    assert job.run_count == 1


@pytest.mark.parametrize("paused", [True, False])
def test_of_several_times_that_have_come_and_are_given_up_none_goes_unaccounted(
    make_job: MakeJob, paused: bool
) -> None:
    due = timezone.now().replace(second=0, microsecond=0)
    job = make_job(schedule_kind="cron", cron="* * * * *", due=due)
    now = due + timedelta(minutes=4, seconds=5)

    if paused:
        jobs.pause(job, reason="Holidays.", now=now)
    else:
        jobs.update_job(job, now=now, cron="*/30 * * * *")

    run = job.runs.get()
    assert (run.slot, run.missed_before) == (due + timedelta(minutes=4), 4)
    assert "The same goes for 4 scheduled times before it." in run.reason


def test_times_that_have_come_are_accounted_for_as_their_calendar_is_changed(
    make_job: MakeJob,
) -> None:
    due = timezone.now().replace(second=0, microsecond=0)
    job = make_job(schedule_kind="cron", cron="* * * * *", due=due)
    holidays = calendars.create(team=None, name="Holidays", dates=[])
    job.calendars.add(holidays)
    now = due + timedelta(minutes=4, seconds=5)

    calendars.change(holidays, name="Days off", now=now)
    job.refresh_from_db()
    assert (job.next_slot, job.runs.count()) == (due, 0)

    calendars.change(holidays, dates=[f"{due:%Y-%m-%d}", f"{now:%Y-%m-%d}"], now=now)
    job.refresh_from_db()
    run = job.runs.get()
    assert job.next_slot is not None
    assert job.next_slot.date() > now.date()
    assert (run.slot, run.missed_before) == (due + timedelta(minutes=4), 4)
    assert "given other days before it began" in run.reason


def test_what_a_person_wanted_replayed_is_decided_on_again_after_a_pause(
    make_job: MakeJob,
) -> None:
    due = timezone.now().replace(microsecond=0)
    job = make_job(due=due, misfire="review")
    now = due + timedelta(minutes=3)
    dispatch(now)
    missed = job.runs.filter(needs_review=True).count()
    assert handling.review(job, decision="replay_all", now=now) == missed
    waiting = list(job.runs.filter(trigger=RunTrigger.REPLAY, lane=None))
    assert waiting

    jobs.pause(job, reason="It fails.", now=now)

    again = job.runs.filter(needs_review=True, status=RunStatus.MISSED)
    assert set(again) == set(waiting)
    assert {run.reason for run in again} == {jobs.PAUSED_REPLAY}
    assert not job.runs.filter(status=RunStatus.SKIPPED).exists()


def test_only_those_times_are_given_up_that_lie_before_a_new_start(make_job: MakeJob) -> None:
    due = timezone.now().replace(microsecond=0)
    job = make_job(due=due)

    start, now = due + timedelta(minutes=2), due + timedelta(minutes=4)
    jobs.update_job(job, now=now, starts_at=start)

    run = job.runs.get()
    assert (run.slot, run.missed_before) == (due + timedelta(minutes=1), 1)
    assert job.next_slot == start
