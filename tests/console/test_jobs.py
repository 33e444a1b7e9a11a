"""Scheduled prompts and their runs in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob, CronRun, RunTrigger
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_team

ADD = "admin:scheduling_cronjob_add"
PREVIEW = "admin:scheduling_cronjob_preview"


@pytest.fixture
def team(db: None) -> Team:
    make_model(name="large", is_default=True)
    return make_team(name="Blue")


@pytest.fixture
def job(team: Team) -> CronJob:
    return jobs.create_job(
        team=team,
        name="Digest",
        prompt="Sum it up.",
        schedule_kind="cron",
        cron="0 9 * * *",
        zone="Europe/Prague",
        now=timezone.now(),
    )


def _written(browser: Client, for_team: Team, **fields: Any) -> dict[str, Any]:
    sent = filled(browser.get(reverse(ADD)).content.decode(), "cronjob_form")
    return {
        **sent,
        "team": for_team.pk,
        "name": "Digest",
        "prompt": "Sum it up.",
        "schedule_kind": "cron",
        "cron": "0 9 * * MON-FRI",
        "zone": "Europe/Prague",
        **fields,
    }


def _page(job: CronJob) -> str:
    return reverse("admin:scheduling_cronjob_change", args=[job.pk])


def _do(job: CronJob, action: str) -> str:
    return reverse("admin:scheduling_cronjob_do", args=[job.pk, action])


def _form(browser: Client, job: CronJob) -> dict[str, Any]:
    return filled(browser.get(_page(job)).content.decode(), "cronjob_form")


def test_a_job_is_made_with_its_next_time(browser: Client, team: Team) -> None:
    response = browser.post(reverse(ADD), _written(browser, team))

    job = CronJob.objects.get()
    assert response.status_code == 302
    assert job.next_slot is not None
    assert job.next_slot > timezone.now()
    assert job.created_by is not None
    assert (job.cron, job.zone, job.model) == ("0 9 * * MON-FRI", "Europe/Prague", "auto")


def test_an_interval_is_a_number_and_a_unit(browser: Client, team: Team) -> None:
    sent = _written(browser, team, schedule_kind="every", every_count="90", every_unit="60")

    browser.post(reverse(ADD), sent)

    assert CronJob.objects.get().every_seconds == 5400


def test_a_time_is_read_in_the_jobs_zone(browser: Client, team: Team) -> None:
    browser.cookies["palyra_zone"] = "America/New_York"
    sent = _written(browser, team, schedule_kind="at", at="2100-01-31T09:00")

    browser.post(reverse(ADD), sent)

    job = CronJob.objects.get()
    assert job.at is not None
    assert job.at.isoformat() == "2100-01-31T08:00:00+00:00"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": "0 0 9 * * *"}, "cron"),
        ({"cron": "61 9 * * *"}, "cron"),
        ({"cron": ""}, "cron"),
        ({"zone": "Europe/Atlantis"}, "zone"),
        ({"schedule_kind": "at", "at": "2001-01-01T09:00"}, "at"),
        ({"schedule_kind": "at", "at": "soon"}, "at"),
        ({"schedule_kind": "every", "every_count": "0"}, "every_count"),
        ({"schedule_kind": "every", "every_count": ""}, "every_count"),
        ({"max_output_tokens": "0"}, "max_output_tokens"),
        ({"prompt": " "}, "prompt"),
        ({"model": "no-such-model"}, "model"),
        ({"team": ""}, "team"),
    ],
)
def test_bad_input_is_said_at_its_field_and_stores_nothing(
    browser: Client, team: Team, fields: dict[str, str], field: str
) -> None:
    response = browser.post(reverse(ADD), _written(browser, team, **fields))

    assert response.status_code == 200
    assert set(response.context["adminform"].form.errors) == {field}
    assert not CronJob.objects.exists()


def test_a_name_the_team_has_already_is_refused(browser: Client, team: Team, job: CronJob) -> None:
    response = browser.post(reverse(ADD), _written(browser, team))

    assert "already has a scheduled prompt of that name" in text_of(response.content.decode())
    assert CronJob.objects.count() == 1


def test_faults_of_the_schedule_and_of_the_rest_are_said_at_once(
    browser: Client, team: Team
) -> None:
    sent = _written(browser, team, name="", cron="0 0 9 * * *")

    response = browser.post(reverse(ADD), sent)

    assert set(response.context["adminform"].form.errors) == {"name", "cron"}


def test_an_edit_goes_through_the_service(browser: Client, job: CronJob) -> None:
    revision, slot = job.revision, job.next_slot

    browser.post(_page(job), {**_form(browser, job), "cron": "30 17 * * *"})

    job.refresh_from_db()
    assert job.cron == "30 17 * * *"
    assert job.revision > revision
    assert job.next_slot != slot


def test_saving_the_form_as_it_is_leaves_the_schedule(browser: Client, job: CronJob) -> None:
    slot, anchor = job.next_slot, job.anchor_at

    response = browser.post(_page(job), {**_form(browser, job), "name": "Renamed"})

    assert response.status_code == 302
    job.refresh_from_db()
    assert (job.name, job.next_slot, job.anchor_at) == ("Renamed", slot, anchor)


def test_a_job_whose_time_has_passed_can_be_renamed(browser: Client, team: Team) -> None:
    job = CronJob.objects.create(
        team=team,
        name="Once",
        prompt="Now.",
        schedule_kind="at",
        at="2020-01-01T09:00Z",
        anchor_at=timezone.now(),
    )

    browser.post(_page(job), {**_form(browser, job), "name": "Was once"})

    job.refresh_from_db()
    assert job.name == "Was once"


def test_pausing_takes_a_reason_and_shows_it(browser: Client, job: CronJob) -> None:
    refused = browser.post(_do(job, "pause"), {"pause-reason": ""}, follow=True)
    job.refresh_from_db()
    assert job.enabled
    assert "Why? Say why" in text_of(refused.content.decode())

    said = browser.post(_do(job, "pause"), {"pause-reason": "Holidays"}, follow=True)

    job.refresh_from_db()
    assert (job.enabled, job.next_slot) == (False, None)
    assert "Paused: Holidays" in text_of(said.content.decode())


def test_resuming_gives_it_a_next_time(browser: Client, job: CronJob) -> None:
    jobs.pause(job, reason="Holidays", now=timezone.now())

    browser.post(_do(job, "resume"))

    job.refresh_from_db()
    assert job.enabled
    assert job.next_slot is not None


def test_running_now_makes_one_run_beside_the_schedule(browser: Client, job: CronJob) -> None:
    slot = job.next_slot

    browser.post(_do(job, "run_now"))
    again = browser.post(_do(job, "run_now"), follow=True)

    run = CronRun.objects.get()
    assert (run.job, run.trigger) == (job, RunTrigger.MANUAL)
    assert "Wait for it to end." in text_of(again.content.decode())
    job.refresh_from_db()
    assert job.next_slot == slot


def test_the_page_shows_the_next_six_runs_in_the_jobs_zone(browser: Client, job: CronJob) -> None:
    text = text_of(browser.get(_page(job)).content.decode())

    assert "At 09:00 every day, Europe/Prague" in text
    assert text.count("09:00 CE") >= 6


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


def test_lists_of_jobs_and_runs_take_a_bounded_number_of_queries(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for name in ("cronjob", "cronrun"):
        with django_assert_max_num_queries(12):
            browser.get(reverse(f"admin:scheduling_{name}_changelist"))
