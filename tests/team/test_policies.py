"""What a schedule's form does with policies, calendars and deliveries on the team pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Channel, Team
from scheduling import calendars, jobs
from scheduling.models import CronJob
from tests.support.factories import make_team

# What forms and pages say: once is enough.
pytestmark = pytest.mark.any_database
NEW = reverse("team:schedule-create", args=["blue"])
PREVIEW = reverse("team:schedule-preview", args=["blue"])
SIMPLE = {
    "name": "Note",
    "prompt": "What is new?",
    "model": "auto",
    "schedule_kind": "cron",
    "cron": "0 9 * * *",
    "every_unit": "60",
    "zone": "Europe/Prague",
}
CAREFUL = {
    "starts_at": "2099-01-01T00:00",
    "ends_at": "2099-12-31T00:00",
    "max_runs": "10",
    "jitter_seconds": "30",
    "overlap": "allow",
    "max_parallel": "4",
    "misfire": "catch_up",
    "catch_up_limit": "5",
    "catch_up_hours": "12",
    "max_attempts": "3",
    "backoff_seconds": "20",
    "retry_unconfirmed": "on",
    "max_runtime_seconds": "120",
    "expected_seconds": "60",
    "pause_after_failures": "4",
    "task_class": "auxiliary_summary",
    "routing_mode": "suggest",
    "parameters": '{"topic": "news"}',
    "output_format": "json",
    "output_schema": '{"type": "object"}',
}


@pytest.fixture
def channel(db: None) -> Channel:
    return Channel.objects.create(name="Ops: night", kind="email", recipients=["o@example.com"])


def _edit(job: CronJob) -> str:
    return reverse("team:schedule-edit", args=["blue", job.pk])


def _sections(client: Client, where: str, sent: dict[str, Any] | None = None) -> set[str]:
    response = client.get(where) if sent is None else client.post(where, sent)
    found: set[str] = response.context["open_sections"]
    return found


def test_a_simple_schedule_needs_no_more_than_before(member: Client, team: Team) -> None:
    assert _sections(member, NEW) == set()
    member.post(NEW, SIMPLE)
    job = CronJob.objects.get()
    untouched = CronJob()
    for name in ("overlap", "misfire", "max_attempts", "max_runtime_seconds", "parameters"):
        assert getattr(job, name) == getattr(untouched, name)
    assert _sections(member, _edit(job)) == set()


@pytest.mark.every_database
def test_everything_chosen_is_stored_and_shown_again(
    member: Client, team: Team, channel: Channel
) -> None:
    holidays = calendars.create(team=None, name="Holidays", dates=["2099-01-01"])
    chosen = {"calendars": [holidays.pk], "deliveries": [f"{channel.pk}:change"]}
    member.post(NEW, {**SIMPLE, **CAREFUL, **chosen})
    job = CronJob.objects.get()
    assert job.starts_at == datetime(2098, 12, 31, 23, tzinfo=UTC)
    assert job.next_slot == datetime(2099, 1, 2, 8, tzinfo=UTC)
    assert (job.overlap, job.max_parallel, job.misfire) == ("allow", 4, "catch_up")
    assert (job.max_attempts, job.retry_unconfirmed) == (3, True)
    assert (job.parameters, job.output_schema) == ({"topic": "news"}, {"type": "object"})
    assert [(wish.channel, wish.on) for wish in job.deliveries.all()] == [(channel, "change")]

    assert _sections(member, _edit(job)) == {"bounds", "policies", "answer", "deliveries"}
    form = member.get(_edit(job)).context["form"]
    revision = job.revision
    kept = {name: form[name].value() for name in form.fields}
    member.post(_edit(job), {name: value for name, value in kept.items() if value is not None})
    job.refresh_from_db()
    assert (job.revision, job.next_slot) == (revision + 1, datetime(2099, 1, 2, 8, tzinfo=UTC))
    page = member.get(reverse("team:schedule", args=["blue", job.pk])).content.decode()
    for words in ("Up to 4 run beside each other", "Holidays", "Ops: night", "0 of 10 so far"):
        assert words in page


@pytest.mark.parametrize(
    ("fields", "faulty", "section"),
    [
        ({"overlap": "maybe"}, {"overlap"}, "policies"),
        ({"overlap": "allow", "max_parallel": "99"}, {"max_parallel"}, "policies"),
        ({"max_attempts": "17", "backoff_seconds": "0"}, {"max_attempts", "backoff_seconds"}, None),
        ({"parameters": "[1]"}, {"parameters"}, "answer"),
        ({"parameters": '{"topic": }'}, {"parameters"}, "answer"),
        ({"parameters": '{"topic": NaN}'}, {"parameters"}, "answer"),
        ({"parameters": '{"two words": 1}'}, {"parameters"}, "answer"),
        ({"output_format": "json", "output_schema": '{"type": 5}'}, {"output_schema"}, "answer"),
        ({"calendars": ["12345"]}, {"calendars"}, "bounds"),
        ({"deliveries": ["12345:change"]}, {"deliveries"}, "deliveries"),
        ({"starts_at": "2099-01-02T00:00", "ends_at": "2099-01-01T00:00"}, {"ends_at"}, "bounds"),
    ],
)
def test_a_fault_opens_its_section_and_stores_nothing(
    member: Client, team: Team, fields: dict[str, Any], faulty: set[str], section: str | None
) -> None:
    response = member.post(NEW, {**SIMPLE, **fields})
    assert set(response.context["form"].errors) == faulty
    assert (section or "policies") in response.context["form"].open_sections
    assert not CronJob.objects.exists()


def test_what_is_not_on_the_screen_is_no_fault(member: Client, team: Team) -> None:
    hidden = {"max_parallel": "99", "catch_up_limit": "x", "output_schema": "{"}
    member.post(NEW, {**SIMPLE, **hidden})
    job = CronJob.objects.get()
    assert (job.max_parallel, job.catch_up_limit, job.output_schema) == (2, 3, None)


def test_what_other_teams_have_is_not_offered(member: Client, team: Team, red: Team) -> None:
    calendars.create(team=red, name="Red days", dates=[])
    theirs = Channel.objects.create(name="Red hook", kind="email", team=red)
    page = member.get(NEW).content.decode()
    assert "Red days" not in page
    assert "Red hook" not in page
    response = member.post(NEW, {**SIMPLE, "deliveries": [f"{theirs.pk}:failure"]})
    assert "deliveries" in response.context["form"].errors


def test_a_preview_knows_bounds_delays_and_clock_changes(member: Client, team: Team) -> None:
    sent = {**SIMPLE, "cron": "30 2 * * *", "starts_at": "2099-03-29T00:00", "max_runs": "2"}
    page = member.get(PREVIEW, {**sent, "jitter_seconds": "90"}).content.decode()
    assert page.count("<time") == 2
    assert "right after a clock change that skips its time" in page
    assert "Each will begin up to 1 min 30 s later" in page
    again = member.get(PREVIEW, {**sent, "zone": "UTC"}).content.decode()
    assert "clock change" not in again


def test_a_preview_of_a_job_shows_when_each_run_really_begins(
    member: Client, team: Team, job: CronJob
) -> None:
    jobs.update_job(job, now=timezone.now(), jitter_seconds=3600)
    sent = {**SIMPLE, "cron": job.cron, "jitter_seconds": "3600", "job": str(job.pk)}
    assert "begins at 09:" in member.get(PREVIEW, sent).content.decode()


class TestCalendars:
    def test_one_is_made_changed_and_deleted(self, member: Client, team: Team) -> None:
        new = reverse("team:calendar-create", args=["blue"])
        member.post(new, {"name": "Days off", "dates": "2099-12-25\n\n 2099-01-01 \n2099-12-25"})
        (calendar,) = team.calendars.all()
        assert calendar.dates == ["2099-01-01", "2099-12-25"]
        page = member.get(reverse("team:calendars", args=["blue"])).content.decode()
        assert "1 Jan 2099" in page
        edit = reverse("team:calendar-edit", args=["blue", calendar.pk])
        assert "2099-01-01\n2099-12-25" in member.get(edit).content.decode()
        member.post(edit, {"name": "Days off", "dates": "2099-05-01"})
        calendar.refresh_from_db()
        assert calendar.dates == ["2099-05-01"]
        member.post(reverse("team:calendar-delete", args=["blue", calendar.pk]))
        assert not team.calendars.exists()

    def test_faults_name_their_lines(self, member: Client, team: Team) -> None:
        new = reverse("team:calendar-create", args=["blue"])
        response = member.post(new, {"name": "", "dates": "2099-12-25\n25.12.2099\n2099-02-30"})
        errors = response.context["form"].errors
        assert set(errors) == {"name", "dates"}
        assert [fault[:6] for fault in errors["dates"]] == ["Line 2", "Line 3"]
        assert not team.calendars.exists()

    def test_one_in_use_is_not_deleted(self, member: Client, team: Team, job: CronJob) -> None:
        calendar = calendars.create(team=team, name="Mondays", dates=[])
        jobs.update_job(job, now=timezone.now(), calendars=[calendar])
        edit = reverse("team:calendar-edit", args=["blue", calendar.pk])
        assert "Delete the calendar" not in member.get(edit).content.decode()
        response = member.post(
            reverse("team:calendar-delete", args=["blue", calendar.pk]), follow=True
        )
        assert "1 scheduled prompt goes by it: “Digest”." in response.content.decode()
        assert team.calendars.exists()

    @pytest.mark.every_database
    def test_many_make_no_more_queries(
        self, member: Client, team: Team, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(8):
            calendars.create(team=team, name=f"Days {number}", dates=["2099-01-01"])
        calendars.create(team=make_team(name="Other"), name="Not ours", dates=[])
        with django_assert_max_num_queries(8):
            page = member.get(reverse("team:calendars", args=["blue"])).content.decode()
        assert "Days 7" in page
        assert "Not ours" not in page
