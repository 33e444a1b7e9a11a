"""Scheduled prompts on the team pages: paused and run, and what came of their runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob, CronRun, RunStatus
from tests.team.rows import make_run
from tests.team.schedules import page_of

# What forms and previews say: once is enough.
pytestmark = pytest.mark.any_database
LIST = reverse("team:schedules", args=["blue"])


class TestRunning:
    def test_pausing_asks_why_and_says_what_it_does(self, member: Client, job: CronJob) -> None:
        where = page_of(job, "schedule-pause")
        assert "It will not run" in member.get(where).content.decode()
        assert "reason" in member.post(where, {"reason": " "}).context["form"].errors
        job.refresh_from_db()
        assert job.enabled
        response = member.post(where, {"reason": "Waiting for data."}, follow=True)
        job.refresh_from_db()
        assert (job.enabled, job.paused_reason, job.next_slot) == (
            False,
            "Waiting for data.",
            None,
        )
        assert "Waiting for data." in response.content.decode()
        assert "Paused" in member.get(LIST).content.decode()

    def test_resuming_lets_it_run_again(self, member: Client, job: CronJob, now: datetime) -> None:
        jobs.pause(job, reason="x", now=now)
        member.post(page_of(job, "schedule-resume"))
        job.refresh_from_db()
        assert job.enabled
        assert job.next_slot is not None

    def test_what_has_no_time_left_is_not_resumed(
        self, member: Client, team: Team, now: datetime
    ) -> None:
        job = _past_job(team, now)
        response = member.post(page_of(job, "schedule-resume"), follow=True)
        assert "Its time has passed" in response.content.decode()
        job.refresh_from_db()
        assert not job.enabled

    @pytest.mark.every_database
    def test_running_now_queues_one_run(self, member: Client, job: CronJob) -> None:
        first = member.post(page_of(job, "schedule-run"), follow=True)
        assert "is queued to run now" in first.content.decode()
        run = CronRun.objects.get()
        assert (run.job, run.status, run.trigger) == (job, RunStatus.QUEUED, "manual")
        second = member.post(page_of(job, "schedule-run"), follow=True)
        assert "Wait for it to end" in second.content.decode()
        assert CronRun.objects.count() == 1


class TestRuns:
    def test_a_run_tells_what_became_of_it(
        self, member: Client, job: CronJob, now: datetime
    ) -> None:
        make_run(job, slot=now - timedelta(minutes=1), started_at=now - timedelta(seconds=59.6))
        make_run(
            job,
            slot=now - timedelta(minutes=5),
            status=RunStatus.FAILED,
            reason="The provider did not answer.",
            output="",
            started_at=None,
            missed_before=3,
        )
        page = member.get(page_of(job)).content.decode()
        for words in (
            "Succeeded",
            "400 ms",
            "120",
            "$0.0025",
            "All is well.",
            "Failed",
            "The provider did not answer.",
            "3 scheduled times before it passed",
        ):
            assert words in page

    def test_output_is_text_never_markup(self, member: Client, job: CronJob) -> None:
        make_run(job, output="<script>alert(1)</script>")
        page = member.get(page_of(job)).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page

    def test_the_page_looks_again_only_while_a_run_is_under_way(
        self, member: Client, job: CronJob
    ) -> None:
        run = make_run(job, status=RunStatus.RUNNING)
        part = member.get(page_of(job, "schedule-runs")).content.decode()
        assert "<html" not in part
        assert 'hx-trigger="every 2s"' in part
        later = {"status": RunStatus.QUEUED, "due_at": timezone.now() + timedelta(minutes=5)}
        CronRun.objects.filter(pk=run.pk).update(attempt=1, **later)
        part = member.get(page_of(job, "schedule-runs")).content.decode()
        assert 'hx-trigger="every 30s"' in part
        assert "Tried again in 5 minutes" in part
        CronRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCEEDED)
        assert "hx-trigger" not in member.get(page_of(job, "schedule-runs")).content.decode()

    @pytest.mark.every_database
    def test_many_runs_come_in_pages(self, member: Client, job: CronJob, now: datetime) -> None:
        for number in range(25):
            make_run(job, slot=now - timedelta(minutes=number), output=f"Output {number}.")
        first = member.get(page_of(job)).content.decode()
        second = member.get(page_of(job), {"page": 2}).content.decode()
        assert "Output 19." in first
        assert "Output 20." not in first
        assert "Output 24." in second
        assert "Page 2 of 2" in second
        assert member.get(page_of(job), {"page": "x"}).status_code == 200

    @pytest.mark.every_database
    def test_the_list_shows_state_next_and_last(
        self, member: Client, job: CronJob, now: datetime
    ) -> None:
        make_run(job, slot=now - timedelta(days=3), status=RunStatus.SKIPPED)
        make_run(job, slot=now - timedelta(days=9))
        page = member.get(LIST).content.decode()
        assert "Active" in page
        assert "At 09:00 on Mondays, Europe/Prague" in page
        assert "Skipped" in page
        assert "3 days ago" in page
        assert "Succeeded" not in page

    @pytest.mark.every_database
    def test_many_jobs_make_no_more_queries(
        self,
        member: Client,
        team: Team,
        job: CronJob,
        now: datetime,
        django_assert_max_num_queries: Any,
    ) -> None:
        for number in range(12):
            other = jobs.create_job(
                team=team,
                name=f"Job {number}",
                schedule_kind="cron",
                cron="0 9 * * *",
                prompt="x",
                now=now,
            )
            make_run(other)
        with django_assert_max_num_queries(10):
            member.get(LIST)


def _past_job(team: Team, now: datetime) -> CronJob:
    """A paused job whose single time has passed."""
    job = jobs.create_job(
        team=team,
        name="Past",
        schedule_kind="at",
        at=now + timedelta(hours=1),
        prompt="x",
        now=now,
    )
    jobs.pause(job, reason="x", now=now)
    CronJob.objects.filter(pk=job.pk).update(at=now - timedelta(hours=1))
    return job
