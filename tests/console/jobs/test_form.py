"""A scheduled prompt's form in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Channel, Team
from scheduling import calendars, jobs
from scheduling.models import CronJob
from tests.console.jobs.pages import page_of
from tests.console.pages import filled, text_of
from tests.support.factories import make_team

# What forms and pages say: once is enough; what is stored and listed is not.
pytestmark = pytest.mark.any_database
ADD = "admin:scheduling_cronjob_add"


def written(browser: Client, for_team: Team, **fields: Any) -> dict[str, Any]:
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


def form_of(browser: Client, job: CronJob) -> dict[str, Any]:
    return filled(browser.get(page_of(job)).content.decode(), "cronjob_form")


@pytest.mark.every_database
def test_a_job_is_made_with_its_next_time(browser: Client, team: Team) -> None:
    response = browser.post(reverse(ADD), written(browser, team))

    job = CronJob.objects.get()
    assert response.status_code == 302
    assert job.next_slot is not None
    assert job.next_slot > timezone.now()
    assert job.created_by is not None
    assert (job.cron, job.zone, job.model) == ("0 9 * * MON-FRI", "Europe/Prague", "auto")


def test_an_interval_is_a_number_and_a_unit(browser: Client, team: Team) -> None:
    sent = written(browser, team, schedule_kind="every", every_count="90", every_unit="60")

    browser.post(reverse(ADD), sent)

    assert CronJob.objects.get().every_seconds == 5400


def test_a_time_is_read_in_the_jobs_zone(browser: Client, team: Team) -> None:
    browser.cookies["palyra_zone"] = "America/New_York"
    sent = written(browser, team, schedule_kind="at", at="2100-01-31T09:00")

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
    response = browser.post(reverse(ADD), written(browser, team, **fields))

    assert response.status_code == 200
    assert set(response.context["adminform"].form.errors) == {field}
    assert not CronJob.objects.exists()


@pytest.mark.every_database
def test_a_name_the_team_has_already_is_refused(browser: Client, team: Team, job: CronJob) -> None:
    response = browser.post(reverse(ADD), written(browser, team))

    assert "already has a scheduled prompt of that name" in text_of(response.content.decode())
    assert CronJob.objects.count() == 1


def test_faults_of_the_schedule_and_of_the_rest_are_said_at_once(
    browser: Client, team: Team
) -> None:
    sent = written(browser, team, name="", cron="0 0 9 * * *")

    response = browser.post(reverse(ADD), sent)

    assert set(response.context["adminform"].form.errors) == {"name", "cron"}


def test_an_edit_goes_through_the_service(browser: Client, job: CronJob) -> None:
    revision, slot = job.revision, job.next_slot

    browser.post(page_of(job), {**form_of(browser, job), "cron": "30 17 * * *"})

    job.refresh_from_db()
    assert job.cron == "30 17 * * *"
    assert job.revision > revision
    assert job.next_slot != slot


def test_saving_the_form_as_it_is_leaves_the_schedule(browser: Client, job: CronJob) -> None:
    slot, anchor = job.next_slot, job.anchor_at

    response = browser.post(page_of(job), {**form_of(browser, job), "name": "Renamed"})

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

    browser.post(page_of(job), {**form_of(browser, job), "name": "Was once"})

    job.refresh_from_db()
    assert job.name == "Was once"


CAREFUL = {
    "starts_at": "2099-01-01T00:00",
    "jitter_seconds": "30",
    "overlap": "allow",
    "max_parallel": "4",
    "misfire": "review",
    "max_attempts": "3",
    "parameters": '{"topic": "news"}',
    "output_format": "json",
    "output_schema": '{"type": "object"}',
}


@pytest.mark.every_database
def test_every_policy_is_stored_and_shown_again(browser: Client, team: Team) -> None:
    holidays = calendars.create(team=None, name="Holidays", dates=["2099-01-01"])
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["o@example.com"])
    named = {"calendars": [holidays.pk], "deliveries": [f"{channel.pk}:failure"]}
    browser.post(reverse(ADD), written(browser, team, **CAREFUL, **named))

    job = CronJob.objects.get()
    assert (job.overlap, job.max_parallel, job.misfire) == ("allow", 4, "review")
    assert (job.parameters, job.output_schema) == ({"topic": "news"}, {"type": "object"})
    assert list(job.calendars.all()) == [holidays]
    assert [(wish.channel, wish.on) for wish in job.deliveries.all()] == [(channel, "failure")]
    slot, due = job.next_slot, job.due_at
    text = text_of(browser.get(page_of(job)).content.decode())
    assert "Run beside it: both go on" in text

    browser.post(page_of(job), {**form_of(browser, job), "name": "Renamed"})

    job.refresh_from_db()
    assert (job.name, job.next_slot, job.due_at) == ("Renamed", slot, due)
    assert job.output_schema == {"type": "object"}
    assert list(job.calendars.all()) == [holidays]


def test_a_channel_that_became_another_teams_is_dropped_on_saving(
    browser: Client, team: Team
) -> None:
    lost, kept = (
        Channel.objects.create(name=name, kind="email", recipients=["o@example.com"])
        for name in ("Lost", "Kept")
    )
    named = {"deliveries": [f"{lost.pk}:failure", f"{kept.pk}:failure"]}
    browser.post(reverse(ADD), written(browser, team, **named))
    Channel.objects.filter(pk=lost.pk).update(team=make_team(name="Red"))
    job = CronJob.objects.get()

    assert "Lost" not in text_of(browser.get(page_of(job)).content.decode())
    browser.post(page_of(job), {**form_of(browser, job), "name": "Renamed"})

    job.refresh_from_db()
    assert job.name == "Renamed"
    assert [wish.channel for wish in job.deliveries.all()] == [kept]


def test_what_is_another_teams_is_refused_at_its_field(browser: Client, team: Team) -> None:
    other = make_team(name="Red")
    theirs = calendars.create(team=other, name="Red days", dates=[])
    channel = Channel.objects.create(name="Red hook", kind="email", team=other)
    named = {"calendars": [theirs.pk], "deliveries": [f"{channel.pk}:failure"]}

    response = browser.post(reverse(ADD), written(browser, team, **named))

    assert set(response.context["adminform"].form.errors) == {"calendars", "deliveries"}
    assert not CronJob.objects.exists()


def test_parts_are_folded_unless_something_in_them_is_unusual(
    browser: Client, team: Team, job: CronJob
) -> None:
    def folded() -> int:
        return browser.get(page_of(job)).content.decode().count("<details><summary>")

    assert folded() == 4
    jobs.update_job(job, now=timezone.now(), max_attempts=2)
    assert folded() == 3
