"""Scheduled prompts on the team pages: previewed, made and changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Team
from providers.models import ProviderModel
from scheduling import jobs
from scheduling.models import CronJob
from tests.support.factories import make_model, make_provider
from tests.team.conftest import People
from tests.team.schedules import page_of

# What forms and previews say: once is enough.
pytestmark = pytest.mark.any_database
NEW = reverse("team:schedule-create", args=["blue"])
PREVIEW = reverse("team:schedule-preview", args=["blue"])


def form_of(**fields: Any) -> dict[str, Any]:
    return {
        "name": "Morning note",
        "prompt": "What is new?",
        "system_prompt": "",
        "model": "auto",
        "max_output_tokens": "",
        "schedule_kind": "cron",
        "cron": "0 9 * * MON-FRI",
        "every_count": "",
        "every_unit": "60",
        "at": "",
        "zone": "Europe/Prague",
        **fields,
    }


class TestPreview:
    def test_it_says_the_schedule_in_words_with_six_times(self, member: Client, team: Team) -> None:
        page = member.get(PREVIEW, form_of()).content.decode()
        assert "<html" not in page
        assert "weekdays" in page
        assert page.count("<time") == 6
        assert page.count("09:00</time>") == 6
        assert page.count(" UTC") == 6

    def test_times_are_shown_in_the_zone_chosen_not_the_teams(
        self, member: Client, team: Team
    ) -> None:
        page = member.get(PREVIEW, form_of(zone="Asia/Tokyo")).content.decode()
        assert page.count("09:00</time>") == 6
        assert page.count("00:00:00 UTC") == 6

    def test_an_interval_is_previewed(self, member: Client, team: Team) -> None:
        page = member.get(
            PREVIEW, form_of(schedule_kind="every", every_count="2", every_unit="3600", cron="")
        ).content.decode()
        assert "Every 2 hours" in page
        assert page.count("<time") == 6

    def test_a_single_time_is_previewed(self, member: Client, team: Team) -> None:
        page = member.get(
            PREVIEW, form_of(schedule_kind="at", at="2099-07-01T09:00")
        ).content.decode()
        assert "Once" in page
        assert page.count("<time") == 1
        assert "2099-07-01 07:00:00 UTC" in page

    @pytest.mark.parametrize(
        ("fields", "label"),
        [
            ({"cron": "0 9 * *"}, "Cron expression"),
            ({"cron": "0 0 9 * * MON"}, "Cron expression"),
            ({"zone": "Prague"}, "Time zone"),
            ({"schedule_kind": "every", "every_count": "0"}, "Every"),
            ({"schedule_kind": "every", "every_count": "soon"}, "Every"),
            ({"schedule_kind": "at", "at": "2001-01-01T00:00"}, "Date and time"),
            ({"schedule_kind": "at", "at": "tomorrow"}, "Date and time"),
            ({"schedule_kind": "at", "at": "0001-01-01T00:00"}, "Date and time"),
            ({"schedule_kind": "at", "at": "2099-01-01T00:00Z"}, "Date and time"),
            ({"schedule_kind": "never"}, "Runs"),
            ({"calendars": "9" * 30}, "Not on the days of"),
        ],
    )
    def test_a_fault_is_explained_by_its_field(
        self, member: Client, team: Team, fields: dict[str, str], label: str
    ) -> None:
        response = member.get(PREVIEW, form_of(**fields))
        assert response.status_code == 200
        page = response.content.decode()
        assert f"<strong>{label}:</strong>" in page
        assert "<time" not in page

    def test_what_is_not_filled_in_yet_is_no_fault(self, member: Client, team: Team) -> None:
        page = member.get(PREVIEW, form_of(cron="")).content.decode()
        assert "Give a cron expression" in page
        assert 'class="fault"' not in page

    def test_nothing_at_all_is_no_crash(self, member: Client, team: Team) -> None:
        assert member.get(PREVIEW).status_code == 200

    def test_an_interval_kept_goes_on_counting_from_its_beginning(
        self, member: Client, team: Team, now: datetime
    ) -> None:
        began = now.replace(microsecond=0) - timedelta(minutes=10)
        job = jobs.create_job(
            team=team,
            name="Pulse",
            schedule_kind="every",
            every_seconds=3600,
            prompt="x",
            now=began,
        )
        fields = form_of(schedule_kind="every", every_count="1", every_unit="3600", cron="")
        page = member.get(PREVIEW, fields | {"job": job.pk}).content.decode()
        assert f"{began + timedelta(hours=1):%Y-%m-%d %H:%M:%S} UTC" in page
        changed = member.get(PREVIEW, fields | {"every_count": "2", "job": job.pk})
        assert f"{began + timedelta(hours=2):%Y-%m-%d %H:%M:%S} UTC" not in changed.content.decode()


class TestMaking:
    @pytest.mark.every_database
    def test_a_schedule_is_made_for_the_team(
        self, member: Client, people: People, team: Team, model: ProviderModel
    ) -> None:
        response = member.post(NEW, form_of(model="small", max_output_tokens="50"), follow=True)
        job = CronJob.objects.get()
        assert response.redirect_chain == [(page_of(job), 302)]
        assert (job.team, job.created_by) == (team, people.member)
        assert (job.cron, job.zone, job.model) == ("0 9 * * MON-FRI", "Europe/Prague", "small")
        assert (job.max_output_tokens, job.every_seconds, job.at) == (50, None, None)
        assert job.next_slot is not None
        assert "is scheduled" in response.content.decode()

    def test_a_number_and_a_unit_are_seconds(self, member: Client, team: Team) -> None:
        member.post(NEW, form_of(schedule_kind="every", every_count="90", every_unit="60"))
        job = CronJob.objects.get()
        assert job.every_seconds == 5400
        assert job.cron == ""

    def test_a_time_is_one_of_the_zone_chosen(self, member: Client, team: Team) -> None:
        member.post(NEW, form_of(schedule_kind="at", at="2099-07-01T09:00", zone="Asia/Tokyo"))
        assert CronJob.objects.get().at == datetime(2099, 7, 1, 0, 0, tzinfo=UTC)

    def test_the_form_begins_with_the_teams_zone(self, member: Client, team: Team) -> None:
        page = member.get(NEW).content.decode()
        assert 'name="zone" value="Europe/Prague"' in page

    @pytest.mark.parametrize(
        ("fields", "faulty"),
        [
            ({"name": " "}, {"name"}),
            ({"prompt": " \n"}, {"prompt"}),
            ({"cron": "0 0 9 * * MON"}, {"cron"}),
            ({"cron": ""}, {"cron"}),
            ({"zone": "Nowhere/Land"}, {"zone"}),
            ({"schedule_kind": "at", "at": "2001-01-01T00:00"}, {"at"}),
            ({"schedule_kind": "every", "every_count": "-5"}, {"every_count"}),
            ({"model": "unheard-of"}, {"model"}),
            ({"max_output_tokens": "0"}, {"max_output_tokens"}),
            (
                {"name": "", "prompt": "", "cron": "", "zone": ""},
                {"name", "prompt", "cron", "zone"},
            ),
        ],
    )
    def test_a_fault_stores_nothing_and_keeps_what_was_typed(
        self, member: Client, team: Team, fields: dict[str, str], faulty: set[str]
    ) -> None:
        response = member.post(NEW, form_of(system_prompt="Be terse.", **fields))
        assert response.status_code == 200
        assert set(response.context["form"].errors) == faulty
        page = response.content.decode()
        assert "Nothing was saved yet" in page
        assert "Be terse." in page
        assert not CronJob.objects.exists()

    @pytest.mark.every_database
    def test_a_name_the_team_has_is_refused(self, member: Client, team: Team, job: CronJob) -> None:
        response = member.post(NEW, form_of(name=job.name))
        assert "already has a scheduled prompt of that name" in response.content.decode()
        assert CronJob.objects.count() == 1

    def test_without_scripts_a_button_previews_and_stores_nothing(
        self, member: Client, team: Team
    ) -> None:
        page = member.post(NEW, form_of(name="", action="preview")).content.decode()
        assert page.count("09:00</time>") == 6
        assert "Nothing was saved yet" not in page
        assert not CronJob.objects.exists()

    def test_models_that_can_be_called_are_offered(self, member: Client, team: Team) -> None:
        make_model(name="only", provider=make_provider(name="one"))
        for provider in ("left", "right"):
            make_model(name="twin", provider=make_provider(name=provider))
        make_model(name="off", enabled=False)
        make_model(name="gone", provider=make_provider(enabled=False))
        form = member.get(NEW).context["form"]
        assert [value for value, _ in form.fields["model"].choices] == [
            "auto",
            "only",
            "twin",
            "left/twin",
            "right/twin",
        ]


class TestChanging:
    def test_the_form_shows_what_is_stored(self, member: Client, team: Team, now: datetime) -> None:
        job = jobs.create_job(
            team=team,
            name="Once",
            schedule_kind="at",
            at=datetime(2099, 7, 1, 0, 0, tzinfo=UTC),
            zone="Asia/Tokyo",
            prompt="Say it.",
            model="retired",
            now=now,
        )
        response = member.get(page_of(job, "schedule-edit"))
        page = response.content.decode()
        assert 'value="2099-07-01T09:00"' in page
        assert "retired (not available now)" in page
        assert page.count("<time") >= 1

    @pytest.mark.parametrize(
        ("seconds", "shown"),
        [(90, (90, 1)), (5400, (90, 60)), (7200, (2, 3600)), (86400, (1, 86400))],
    )
    def test_an_interval_is_shown_in_its_largest_unit(
        self, member: Client, job: CronJob, seconds: int, shown: tuple[int, int]
    ) -> None:
        jobs.update_job(job, schedule_kind="every", every_seconds=seconds, now=timezone.now())
        form = member.get(page_of(job, "schedule-edit")).context["form"]
        assert (form["every_count"].value(), form["every_unit"].value()) == shown

    @pytest.mark.every_database
    def test_a_change_is_stored(self, member: Client, job: CronJob) -> None:
        response = member.post(
            page_of(job, "schedule-edit"),
            form_of(name="Hourly", schedule_kind="every", every_count="1", every_unit="3600"),
            follow=True,
        )
        job.refresh_from_db()
        assert (job.name, job.schedule_kind, job.every_seconds) == ("Hourly", "every", 3600)
        assert job.cron == ""
        assert "is changed: Every hour" in response.content.decode()

    def test_a_faulty_change_leaves_it_as_it_was(self, member: Client, job: CronJob) -> None:
        before = CronJob.objects.values().get()
        response = member.post(page_of(job, "schedule-edit"), form_of(cron="never"))
        assert response.status_code == 200
        assert CronJob.objects.values().get() == before
