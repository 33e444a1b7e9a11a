"""Scheduled prompts and their runs in the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Channel, Team
from scheduling import calendars, handling, jobs
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunTrigger
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_team

# What forms and pages say: once is enough; what is stored and listed is not.
pytestmark = pytest.mark.any_database
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


@pytest.mark.every_database
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


@pytest.mark.every_database
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


@pytest.mark.every_database
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


@pytest.mark.every_database
def test_lists_of_jobs_and_runs_take_a_bounded_number_of_queries(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for name in ("cronjob", "cronrun", "exclusioncalendar"):
        with django_assert_max_num_queries(12):
            browser.get(reverse(f"admin:scheduling_{name}_changelist"))


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
    browser.post(reverse(ADD), _written(browser, team, **CAREFUL, **named))

    job = CronJob.objects.get()
    assert (job.overlap, job.max_parallel, job.misfire) == ("allow", 4, "review")
    assert (job.parameters, job.output_schema) == ({"topic": "news"}, {"type": "object"})
    assert list(job.calendars.all()) == [holidays]
    assert [(wish.channel, wish.on) for wish in job.deliveries.all()] == [(channel, "failure")]
    slot, due = job.next_slot, job.due_at
    text = text_of(browser.get(_page(job)).content.decode())
    assert "Run beside it: both go on" in text

    browser.post(_page(job), {**_form(browser, job), "name": "Renamed"})

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
    browser.post(reverse(ADD), _written(browser, team, **named))
    Channel.objects.filter(pk=lost.pk).update(team=make_team(name="Red"))
    job = CronJob.objects.get()

    assert "Lost" not in text_of(browser.get(_page(job)).content.decode())
    browser.post(_page(job), {**_form(browser, job), "name": "Renamed"})

    job.refresh_from_db()
    assert job.name == "Renamed"
    assert [wish.channel for wish in job.deliveries.all()] == [kept]


def test_what_is_another_teams_is_refused_at_its_field(browser: Client, team: Team) -> None:
    other = make_team(name="Red")
    theirs = calendars.create(team=other, name="Red days", dates=[])
    channel = Channel.objects.create(name="Red hook", kind="email", team=other)
    named = {"calendars": [theirs.pk], "deliveries": [f"{channel.pk}:failure"]}

    response = browser.post(reverse(ADD), _written(browser, team, **named))

    assert set(response.context["adminform"].form.errors) == {"calendars", "deliveries"}
    assert not CronJob.objects.exists()


def test_parts_are_folded_unless_something_in_them_is_unusual(
    browser: Client, team: Team, job: CronJob
) -> None:
    def folded() -> int:
        return browser.get(_page(job)).content.decode().count("<details><summary>")

    assert folded() == 4
    jobs.update_job(job, now=timezone.now(), max_attempts=2)
    assert folded() == 3


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
    assert "2 missed times to review" in text_of(browser.get(_page(job)).content.decode())

    said = browser.post(_do(job, "replay_missed"), follow=True)

    text = text_of(said.content.decode())
    assert "2 runs are queued, the earliest first." in text
    assert "missed times to review" not in text
    again = browser.post(_do(job, "skip_missed"), follow=True)
    assert "no longer applies" in text_of(again.content.decode())


def test_a_job_is_run_with_parameters_and_the_run_cancelled(browser: Client, job: CronJob) -> None:
    browser.post(_do(job, "run_now"), {"run_now-parameters": "[1]"})
    assert not CronRun.objects.exists()

    browser.post(_do(job, "run_now"), {"run_now-parameters": '{"topic": "art"}'})

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
