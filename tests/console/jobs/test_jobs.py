"""Scheduled prompts and their runs in the console."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Team
from scheduling import handling, jobs
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunTrigger
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.jobs.pages import page_of
from tests.console.pages import text_of

# What forms and pages say: once is enough; what is stored and listed is not.
pytestmark = pytest.mark.any_database
PREVIEW = "admin:scheduling_cronjob_preview"


def do(job: CronJob, action: str) -> str:
    return reverse("admin:scheduling_cronjob_do", args=[job.pk, action])


def _text(browser: Client, address: str) -> str:
    return " ".join(text_of(browser.get(address).content.decode()).split())


def test_pausing_takes_a_reason_and_shows_it(browser: Client, job: CronJob) -> None:
    refused = browser.post(do(job, "pause"), {"pause-reason": ""}, follow=True)
    job.refresh_from_db()
    assert job.enabled
    assert "Why? Say why" in text_of(refused.content.decode())

    said = browser.post(do(job, "pause"), {"pause-reason": "Holidays"}, follow=True)

    job.refresh_from_db()
    assert (job.enabled, job.next_slot) == (False, None)
    assert "Paused: Holidays" in text_of(said.content.decode())


def test_resuming_gives_it_a_next_time(browser: Client, job: CronJob) -> None:
    jobs.pause(job, reason="Holidays", now=timezone.now())

    browser.post(do(job, "resume"))

    job.refresh_from_db()
    assert job.enabled
    assert job.next_slot is not None


@pytest.mark.every_database
def test_running_now_makes_one_run_beside_the_schedule(browser: Client, job: CronJob) -> None:
    slot = job.next_slot

    browser.post(do(job, "run_now"))
    again = browser.post(do(job, "run_now"), follow=True)

    run = CronRun.objects.get()
    assert (run.job, run.trigger) == (job, RunTrigger.MANUAL)
    assert "Wait for it to end." in text_of(again.content.decode())
    job.refresh_from_db()
    assert job.next_slot == slot


def test_the_page_shows_the_next_six_runs_in_the_jobs_zone(browser: Client, job: CronJob) -> None:
    text = text_of(browser.get(page_of(job)).content.decode())

    assert "At 09:00 every day, Europe/Prague" in text
    assert text.count("09:00 CE") >= 6


def test_times_a_few_seconds_apart_are_told_apart(browser: Client, team: Team) -> None:
    noon = datetime(2030, 5, 7, 12, tzinfo=UTC)
    job = jobs.create_job(
        team=team,
        name="Pulse",
        prompt="Say so.",
        schedule_kind="every",
        every_seconds=20,
        starts_at=noon,
        now=noon - timedelta(days=1),
    )
    page = _text(browser, page_of(job))
    assert "7 May 2030, 12:00 UTC 7 May 2030, 12:00:20 UTC 7 May 2030, 12:00:40 UTC" in page

    begun = noon + timedelta(seconds=20, milliseconds=3)
    run = CronRun.objects.create(
        job=job,
        slot=noon + timedelta(seconds=20),
        trigger=RunTrigger.SCHEDULE,
        queued_at=begun,
        started_at=begun,
    )
    runs = _text(browser, reverse("admin:scheduling_cronrun_changelist"))
    assert "7 May 2030, 12:00:20 UTC" in runs
    assert " - " not in runs, runs
    page = _text(browser, reverse("admin:scheduling_cronrun_change", args=[run.pk]))
    assert "Started 7 May 2030, 12:00:20.003 UTC" in page
    assert "Pulse at 7 May 2030, 12:00:20 UTC" in page


def test_the_preview_says_the_schedule_and_its_times(browser: Client, team: Team) -> None:
    sent = {"schedule_kind": "cron", "cron": "0 9 * * *", "zone": "Europe/Prague"}

    html = browser.get(reverse(PREVIEW), sent).content.decode()

    assert "At 09:00 every day, Europe/Prague" in html
    assert html.count("<time") == 6


def test_the_preview_of_a_fault_says_what_it_is(browser: Client, team: Team) -> None:
    sent = {"schedule_kind": "cron", "cron": "0 0 9 * * *", "zone": "Europe/Prague"}

    html = browser.get(reverse(PREVIEW), sent).content.decode()

    assert "Not a schedule yet" in html
    assert "<time" not in html


def test_the_preview_is_for_those_who_may_look(team: Team) -> None:
    assert signed_in(staff("nobody")).get(reverse(PREVIEW), {"zone": "UTC"}).status_code == 403


def test_a_run_links_to_its_call_and_the_call_back(seeded: Seeded, browser: Client) -> None:
    run = CronRun.objects.filter(call_id__isnull=False)[0]
    page = reverse("admin:scheduling_cronrun_change", args=[run.pk])
    call = reverse("admin:governance_modelcall_change", args=[run.call_id])

    assert call in browser.get(page).content.decode()
    assert page in browser.get(call).content.decode()


@pytest.mark.every_database
def test_lists_of_jobs_and_runs_take_a_bounded_number_of_queries(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for name in ("cronjob", "cronrun", "exclusioncalendar"):
        with django_assert_max_num_queries(12):
            browser.get(reverse(f"admin:scheduling_{name}_changelist"))


@pytest.mark.every_database
def test_missed_times_are_listed_and_decided_on(browser: Client, job: CronJob) -> None:
    now = timezone.now()
    for ago in (1, 2):
        CronRun.objects.create(
            job=job,
            slot=now - timedelta(days=ago),
            status="missed",
            needs_review=True,
            queued_at=now,
        )
    listed = reverse("admin:scheduling_cronjob_changelist") + "?review=yes"
    assert "2 missed times to review" in text_of(browser.get(listed).content.decode())
    assert "2 missed times to review" in text_of(browser.get(page_of(job)).content.decode())

    said = browser.post(do(job, "replay_missed"), follow=True)

    text = text_of(said.content.decode())
    assert "2 runs are queued, the earliest first." in text
    assert "missed times to review" not in text
    again = browser.post(do(job, "skip_missed"), follow=True)
    assert "no longer applies" in text_of(again.content.decode())


def test_a_job_is_run_with_parameters_and_the_run_cancelled(browser: Client, job: CronJob) -> None:
    browser.post(do(job, "run_now"), {"run_now-parameters": "[1]"})
    assert not CronRun.objects.exists()

    browser.post(do(job, "run_now"), {"run_now-parameters": '{"topic": "art"}'})

    run = CronRun.objects.get()
    assert run.parameters == {"topic": "art"}
    cancel = reverse("admin:scheduling_cronrun_do", args=[run.pk, "cancel"])
    said = browser.post(cancel, {"cancel-reason": "A slip."}, follow=True)
    run.refresh_from_db()
    assert (run.status, run.reason) == ("cancelled", "A slip.")
    assert "is cancelled" in text_of(said.content.decode())


def test_a_run_that_ended_is_run_again(browser: Client, job: CronJob) -> None:
    run = handling.run_now(job, now=timezone.now(), parameters={"topic": "tests"})
    again = reverse("admin:scheduling_cronrun_do", args=[run.pk, "run_again"])
    page = reverse("admin:scheduling_cronrun_change", args=[run.pk])
    assert "Run again" not in text_of(browser.get(page).content.decode())
    handling.cancel(run, now=timezone.now())
    assert "Run again" in text_of(browser.get(page).content.decode())
    said = browser.post(again, follow=True).content.decode()
    assert "It is queued to run now" in text_of(said)
    queued = CronRun.objects.get(status="queued")
    assert queued.parameters == {"topic": "tests"}
    assert str(queued.pk) in said


def test_a_job_is_tried_without_spending(browser: Client, job: CronJob) -> None:
    jobs.update_job(job, now=timezone.now(), prompt="On {{ parameters.topic }}.")
    page = reverse("admin:scheduling_cronjob_try", args=[job.pk])

    text = text_of(browser.post(page, {"parameters": '{"topic": "art"}'}).content.decode())

    assert "On art." in text
    assert "What would be sent" in text
    assert not CronRun.objects.exists()
    assert "This is not JSON" in text_of(browser.post(page, {"parameters": "{"}).content.decode())


def test_an_unusual_run_is_told_in_full(seeded: Seeded, browser: Client) -> None:
    run = CronRun.objects.get(slow=True)
    page = reverse("admin:scheduling_cronrun_change", args=[run.pk])

    text = text_of(browser.get(page).content.decode())

    for words in (
        "slower than expected",
        "put off 1 time",
        "The provider answered 503.",
        "refunds",
    ):
        assert words in text
    found = reverse("admin:scheduling_cronrun_changelist") + "?needs_review__exact=1"
    assert "to be reviewed" in text_of(browser.get(found).content.decode())


def test_a_calendar_is_made_changed_and_deleted_if_nothing_goes_by_it(
    browser: Client, job: CronJob
) -> None:
    add = reverse("admin:scheduling_exclusioncalendar_add")
    refused = browser.post(add, {"name": "Days", "dates": "2099-12-25\nsoon"})
    assert refused.context["adminform"].form.errors["dates"] == [
        "Line 2: “soon” is no day such as 2026-12-25."
    ]
    browser.post(add, {"name": "Days", "dates": "2099-12-25"})
    calendar = ExclusionCalendar.objects.get()
    page = reverse("admin:scheduling_exclusioncalendar_change", args=[calendar.pk])
    browser.post(page, {"name": "Days off", "dates": "2099-01-01\n2099-12-25"})
    calendar.refresh_from_db()
    assert (calendar.name, calendar.team) == ("Days off", None)
    assert calendar.dates == ["2099-01-01", "2099-12-25"]

    jobs.update_job(job, now=timezone.now(), calendars=[calendar])
    assert "Digest (Blue)" in text_of(browser.get(page).content.decode())
    delete = reverse("admin:scheduling_exclusioncalendar_delete", args=[calendar.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    jobs.update_job(job, now=timezone.now(), calendars=[])
    browser.post(delete, {"post": "yes"})
    assert not ExclusionCalendar.objects.exists()
