"""Scheduled prompts through the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.models import Channel, Team
from scheduling import calendars
from scheduling.models import CronJob
from tests.api.callers import Caller, body_of, items_of, member_of, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import make_job, make_run
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db

JOB = {
    "name": "Digest",
    "schedule_kind": "cron",
    "cron": "0 9 * * 1",
    "zone": "Europe/Prague",
    "prompt": "Sum up the week.",
}


def test_a_key_schedules_a_prompt_for_its_team(integration: Caller, team: Team) -> None:
    response = integration.post("/jobs", JOB)
    assert response.status_code == 201
    made = body_of(response)
    job = CronJob.objects.get()
    assert made["id"] == str(job.pk)
    assert (made["team"], made["created_by"], made["enabled"]) == ("demo", None, True)
    assert made["sentence"]
    assert datetime.fromisoformat(made["next_slot"]) == job.next_slot
    assert made["next_slot"].endswith("Z")
    assert (job.team, job.prompt, job.model) == (team, "Sum up the week.", "auto")
    assert body_of(integration.get(f"/jobs/{job.pk}")) == made
    assert items_of(integration.get("/jobs")) == [made]


def test_a_member_is_named_as_the_one_who_made_it(team: Team) -> None:
    member = member_of(team)
    made = body_of(signed_in(member).post("/jobs", JOB))
    assert made["created_by"] == member.get_username()


def test_a_job_runs_every_so_often(integration: Caller) -> None:
    body = {"name": "Pulse", "schedule_kind": "every", "every_seconds": 2, "prompt": "Ping."}
    made = body_of(integration.post("/jobs", body))
    assert (made["every_seconds"], made["cron"]) == (2, "")


def test_a_time_without_an_offset_is_meant_in_the_jobs_zone(integration: Caller) -> None:
    body = {**JOB, "schedule_kind": "at", "cron": "", "at": "2040-07-01T09:00:00"}
    made = body_of(integration.post("/jobs", body))
    assert made["at"] == made["next_slot"] == "2040-07-01T07:00:00.000000Z"
    body |= {"name": "Another", "at": "2040-07-01T09:00:00+01:00"}
    assert body_of(integration.post("/jobs", body))["at"] == "2040-07-01T08:00:00.000000Z"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"cron": "0 0 9 * * 1"}, {"cron"}),
        ({"cron": ""}, {"cron"}),
        ({"zone": "Mars/Olympus"}, {"zone"}),
        ({"cron": "0 0 9 * * 1", "zone": "Mars/Olympus", "prompt": ""}, {"cron", "zone", "prompt"}),
        ({"schedule_kind": "at", "cron": "", "at": "2020-01-01T00:00:00Z"}, {"at"}),
        ({"schedule_kind": "at", "cron": "", "at": "tomorrow"}, {"at"}),
        ({"schedule_kind": "at", "cron": "", "at": 1_700_000_000}, {"at"}),
        ({"schedule_kind": "every", "cron": "", "every_seconds": 0}, {"every_seconds"}),
        ({"schedule_kind": "every", "cron": "", "every_seconds": True}, {"every_seconds"}),
        ({"schedule_kind": "sometimes"}, {"schedule_kind"}),
        ({"max_output_tokens": 0}, {"max_output_tokens"}),
        ({"name": "x" * 101}, {"name"}),
        ({"name": "Taken"}, {"name"}),
        ({"next_slot": "2030-01-01T00:00:00Z"}, {"next_slot"}),
        ({"overlap": "maybe", "misfire": "never"}, {"overlap", "misfire"}),
        ({"max_attempts": 17, "max_parallel": 1}, {"max_attempts", "max_parallel"}),
        ({"calendars": ["999"], "deliveries": [{"channel": "999"}]}, {"calendars", "deliveries"}),
        ({"parameters": {"a b": 1}}, {"parameters"}),
        ({"output_format": "json", "output_schema": {"type": 5}}, {"output_schema"}),
        ({"starts_at": "2040-01-02T00:00:00", "ends_at": "2040-01-01T00:00:00"}, {"ends_at"}),
        ({"prompt": "{{ nonsense"}, {"prompt"}),
    ],
)
def test_a_bad_job_stores_nothing(
    integration: Caller,
    team: Team,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str | None],
) -> None:
    make_job(team, name="Taken")
    with nothing_stored():
        assert faults(integration.post("/jobs", {**JOB, **changes})).keys() == fields


def test_a_job_is_changed(integration: Caller, team: Team) -> None:
    job = make_job(team)
    changes = {"schedule_kind": "every", "every_seconds": 60, "max_output_tokens": None}
    changed = body_of(integration.patch(f"/jobs/{job.pk}", changes))
    assert (changed["schedule_kind"], changed["every_seconds"], changed["cron"]) == (
        "every",
        60,
        "",
    )
    assert changed["prompt"] == job.prompt
    soon = timezone.now() + timedelta(seconds=61)
    assert datetime.fromisoformat(changed["next_slot"]) < soon


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"cron": "0 0 9 * * 1", "prompt": ""}, {"cron", "prompt"}),
        ({"prompt": None}, {"prompt"}),
        ({"enabled": False}, {"enabled"}),
        ({"team": "second"}, {"team"}),
    ],
)
def test_a_bad_change_changes_nothing(
    integration: Caller, team: Team, changes: dict[str, Any], fields: set[str]
) -> None:
    job = make_job(team)
    before = CronJob.objects.values().get()
    assert faults(integration.patch(f"/jobs/{job.pk}", changes)).keys() == fields
    assert CronJob.objects.values().get() == before


def test_a_job_is_paused_with_a_reason_and_resumed(integration: Caller, team: Team) -> None:
    job = make_job(team)
    paused = body_of(integration.post(f"/jobs/{job.pk}/pause", {"reason": "Holidays."}))
    assert (paused["enabled"], paused["paused_reason"]) == (False, "Holidays.")
    assert paused["next_slot"] is None
    resumed = body_of(integration.post(f"/jobs/{job.pk}/resume"))
    assert (resumed["enabled"], resumed["paused_reason"]) == (True, "")
    assert datetime.fromisoformat(resumed["next_slot"]) > timezone.now()


def test_a_reason_that_is_too_long_or_none_pauses_nothing(integration: Caller, team: Team) -> None:
    job = make_job(team)
    for body in ({"reason": "x" * 201}, {"reason": " "}, {}):
        found = faults(integration.post(f"/jobs/{job.pk}/pause", body))
        assert found.keys() == {"reason"}
    assert CronJob.objects.get().enabled


def test_a_job_whose_time_has_passed_is_not_resumed(integration: Caller, team: Team) -> None:
    at = timezone.now() + timedelta(days=1)
    job = make_job(team, schedule_kind="at", cron="", at=at)
    integration.post(f"/jobs/{job.pk}/pause", {"reason": "Holidays."})
    CronJob.objects.update(at=timezone.now() - timedelta(seconds=1))
    assert faults(integration.post(f"/jobs/{job.pk}/resume")).keys() == {"at"}


def test_a_job_is_run_now_and_not_twice_at_once(
    integration: Caller, team: Team, nothing_stored: NothingStored
) -> None:
    job = make_job(team)
    response = integration.post(f"/jobs/{job.pk}/run")
    assert response.status_code == 201
    made = body_of(response)
    assert (made["trigger"], made["status"], made["job_id"]) == ("manual", "queued", str(job.pk))
    assert body_of(integration.get(f"/runs/{made['id']}")) == made
    with nothing_stored():
        assert_problem(integration.post(f"/jobs/{job.pk}/run"), 409, "busy")


def test_a_job_that_has_run_is_not_deleted(
    integration: Caller, team: Team, nothing_stored: NothingStored
) -> None:
    job = make_job(team)
    make_run(job)
    with nothing_stored():
        assert_problem(integration.delete(f"/jobs/{job.pk}"), 409, "ran")


def test_a_job_that_has_not_run_is_deleted(integration: Caller, team: Team) -> None:
    job = make_job(team)
    response = integration.delete(f"/jobs/{job.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert not CronJob.objects.exists()
    assert_problem(integration.get(f"/jobs/{job.pk}"), 404)


POLICIES = {
    "starts_at": "2040-01-01T00:00:00",
    "ends_at": "2041-01-01T00:00:00Z",
    "max_runs": 100,
    "jitter_seconds": 60,
    "overlap": "allow",
    "max_parallel": 3,
    "misfire": "catch_up",
    "catch_up_limit": 5,
    "catch_up_hours": 48,
    "max_attempts": 4,
    "backoff_seconds": 20,
    "retry_unconfirmed": True,
    "max_runtime_seconds": 300,
    "expected_seconds": 30,
    "pause_after_failures": 5,
    "task_class": "auxiliary_summary",
    "routing_mode": "enforced",
    "parameters": {"topic": "news"},
    "output_format": "json",
    "output_schema": {"type": "object"},
}


def test_every_policy_goes_in_and_comes_out(integration: Caller, team: Team) -> None:
    holidays = calendars.create(team=team, name="Holidays", dates=["2040-12-25"])
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["ops@example.com"])
    named = {
        "calendars": [str(holidays.pk)],
        "deliveries": [{"channel": str(channel.pk), "on": "change"}],
    }
    made = body_of(integration.post("/jobs", {**JOB, **POLICIES, **named}))
    placed = {"starts_at": "2039-12-31T23:00:00.000000Z", "ends_at": "2041-01-01T00:00:00.000000Z"}
    expected = {**POLICIES, **named, **placed}
    assert {name: made[name] for name in expected} == expected
    assert made["due_at"] >= made["next_slot"]

    changed = body_of(integration.patch(f"/jobs/{made['id']}", {"calendars": [], "deliveries": []}))
    assert (changed["calendars"], changed["deliveries"]) == ([], [])
    assert changed["overlap"] == "allow"


def test_what_is_another_teams_cannot_be_gone_by(integration: Caller, team: Team) -> None:
    other = make_team(name="Other")
    theirs = calendars.create(team=other, name="Theirs", dates=[])
    channel = Channel.objects.create(name="Their own", kind="email", team=other)
    body = {**JOB, "calendars": [str(theirs.pk)], "deliveries": [{"channel": str(channel.pk)}]}
    found = faults(integration.post("/jobs", body))
    assert found.keys() == {"calendars", "deliveries"}
    assert "Their" not in str(found)
    timing = {"cron": "0 9 * * *", "calendars": [str(theirs.pk)]}
    assert faults(integration.post("/jobs/preview", timing)).keys() == {"calendars"}


def test_what_is_unknown_hides_no_other_fault(
    integration: Caller, team: Team, nothing_stored: NothingStored
) -> None:
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["ops@example.com"])
    job = make_job(team)
    known = {"channel": str(channel.pk), "on": "sometimes"}
    wrong: dict[str, Any] = {
        "zone": "Mars/Olympus",
        "calendars": ["999"],
        "deliveries": [{"channel": "998"}, known],
    }
    with nothing_stored():
        for response in (
            integration.post("/jobs", {**JOB, **wrong, "name": "Another"}),
            integration.patch(f"/jobs/{job.pk}", wrong),
        ):
            found = faults(response)
            assert found.keys() == {"zone", "calendars", "deliveries"}
            said = response.content.decode()
            assert "“998”" in said
            assert "sometimes" in said
        # Of what can be done by itself, nothing is.
        only = integration.patch(f"/jobs/{job.pk}", {"name": "New", "calendars": ["999"]})
        assert faults(only).keys() == {"calendars"}
    timing = {"cron": "0 9 * *", "calendars": ["999"]}
    assert faults(integration.post("/jobs/preview", timing)).keys() == {"cron", "calendars"}


def test_a_channel_that_became_another_teams_is_told_no_more(
    integration: Caller, team: Team
) -> None:
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["ops@example.com"])
    deliveries = [{"channel": str(channel.pk), "on": "change"}]
    made = body_of(integration.post("/jobs", {**JOB, "deliveries": deliveries}))
    assert made["deliveries"] == deliveries
    Channel.objects.update(team=make_team())
    assert body_of(integration.get(f"/jobs/{made['id']}"))["deliveries"] == []
