"""What comes of scheduled prompts, through the API: their times, runs and missed times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from governance.models import Team
from scheduling import calendars
from scheduling.models import CronRun, RunStatus
from tests.api.callers import Caller, body_of, items_of, member_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import NOON, make_job, make_run
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db


def test_a_schedule_is_previewed(integration: Caller, nothing_stored: NothingStored) -> None:
    timing = {"schedule_kind": "cron", "cron": "0 9 * * 1", "zone": "Europe/Prague"}
    with nothing_stored():
        shown = body_of(integration.post("/jobs/preview", timing))
    assert shown["sentence"]
    times = [datetime.fromisoformat(text) for text in shown["times"]]
    assert len(times) == 6
    assert times == sorted(times)
    assert {moment.weekday() for moment in times} == {0}
    assert {moment.astimezone(UTC).hour for moment in times} <= {7, 8}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"cron": "0 0 9 * * 1", "zone": "Mars/Olympus"}, {"cron", "zone"}),
        ({"schedule_kind": "at", "cron": "", "at": "2020-01-01T00:00:00Z"}, {"at"}),
    ],
)
def test_a_schedule_that_cannot_be_is_not_previewed(
    integration: Caller, changes: dict[str, Any], fields: set[str]
) -> None:
    timing = {"schedule_kind": "cron", "cron": "0 9 * * 1", "zone": "UTC", **changes}
    assert faults(integration.post("/jobs/preview", timing)).keys() == fields


def test_runs_are_listed_with_what_came_of_them(integration: Caller, team: Team) -> None:
    job = make_job(team)
    run = make_run(job)
    failed = make_run(job, slot=NOON + timedelta(days=1), status=RunStatus.FAILED, cost=None)
    path = f"/jobs/{job.pk}/runs"
    items = items_of(integration.get(path))
    assert [item["id"] for item in items] == [str(failed.pk), str(run.pk)]
    assert items[1] == {
        "id": str(run.pk),
        "job_id": str(job.pk),
        "slot": "2026-03-01T12:00:00.000000Z",
        "trigger": "schedule",
        "status": "succeeded",
        "reason": "",
        "missed_before": 0,
        "needs_review": False,
        "due_at": None,
        "queued_at": "2026-03-01T12:00:00.000000Z",
        "started_at": "2026-03-01T12:00:00.000000Z",
        "finished_at": "2026-03-01T12:00:00.000000Z",
        "lag_seconds": 0.0,
        "cancel_requested_at": None,
        "slow": False,
        "attempt": 0,
        "attempts": [],
        "deferrals": 0,
        "parameters": {},
        "asked": "",
        "call_id": None,
        "model": "small",
        "explanation": "",
        "failure_class": "",
        "output": "All is well.",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost": "0.000012500",
    }
    only_failed = items_of(integration.get(path, status="failed"))
    assert [item["id"] for item in only_failed] == [str(failed.pk)]


def test_a_preview_leaves_days_out_and_marks_what_is_unusual(
    integration: Caller, team: Team
) -> None:
    days = [f"2040-03-{day:02}" for day in range(1, 24)]
    calendar = calendars.create(team=team, name="March", dates=days)
    timing = {
        "cron": "30 2 * * *",
        "zone": "Europe/Prague",
        "starts_at": "2040-03-01T00:00:00",
        "calendars": [str(calendar.pk)],
    }
    shown = body_of(integration.post("/jobs/preview", timing))
    assert "March" in shown["sentence"]
    # On the 25th clocks go from two to three.
    assert shown["times"][:2] == ["2040-03-24T01:30:00.000000Z", "2040-03-25T01:00:00.000000Z"]
    assert [one["shifted"] for one in shown["upcoming"]] == [False, True, *[False] * 4]
    assert [one["slot"] for one in shown["upcoming"]] == shown["times"]


def test_a_job_is_run_with_parameters_of_its_own(
    integration: Caller, team: Team, nothing_stored: NothingStored
) -> None:
    job = make_job(team, prompt="On {{ parameters.topic }}.", parameters={"topic": "news"})
    with nothing_stored():
        bad = integration.post(f"/jobs/{job.pk}/run", {"parameters": {"a b": 1}})
        assert faults(bad).keys() == {"parameters"}
        rehearsed = body_of(
            integration.post(f"/jobs/{job.pk}/rehearse", {"parameters": {"topic": "sport"}})
        )
        own = body_of(integration.post(f"/jobs/{job.pk}/rehearse"))
    assert (rehearsed["prompt"], own["prompt"]) == ("On sport.", "On news.")
    assert rehearsed["output"]
    assert rehearsed["faults"] == []
    made = body_of(integration.post(f"/jobs/{job.pk}/run", {"parameters": {"topic": "art"}}))
    assert made["parameters"] == {"topic": "art"}


def test_missed_times_are_found_and_decided_on(integration: Caller, team: Team) -> None:
    job, quiet = make_job(team, misfire="review"), make_job(team, name="Quiet")
    missed = [
        make_run(job, slot=NOON - timedelta(days=ago), status="missed", needs_review=True)
        for ago in (0, 1)
    ]
    make_run(quiet)
    listed = items_of(integration.get("/runs", needs_review="true", job=job.pk))
    assert [one["id"] for one in listed] == [str(run.pk) for run in missed]
    assert [one["id"] for one in items_of(integration.get("/jobs", needs_review="true"))] == [
        str(job.pk)
    ]
    path = f"/jobs/{job.pk}/review"
    assert faults(integration.post(path, {"decision": "maybe"})).keys() == {"decision"}
    assert body_of(integration.post(path, {"decision": "replay_all"})) == {"queued": 2}
    assert body_of(integration.post(path, {"decision": "replay_all"})) == {"queued": 0}
    assert not items_of(integration.get("/runs", needs_review="true"))


def test_a_run_is_cancelled_once(integration: Caller, team: Team) -> None:
    job = make_job(team)
    made = body_of(integration.post(f"/jobs/{job.pk}/run"))
    path = f"/runs/{made['id']}/cancel"
    cancelled = body_of(integration.post(path, {"reason": "A slip."}))
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "A slip.")
    assert_problem(integration.post(path, {}), 409, "ended")
    viewer = signed_in(person("viewer", "scheduling.view_cronrun"))
    assert_problem(viewer.post(path, {}), 403)


def test_runs_are_found_across_jobs(integration: Caller, team: Team) -> None:
    first, second = make_job(team), make_job(team, name="Second")
    make_run(first, status=RunStatus.FAILED)
    kept = make_run(second, slot=NOON + timedelta(days=1), attempts=[{"number": 1, "cost": 5}])
    every = items_of(integration.get("/runs", team="demo"))
    assert [one["job_id"] for one in every] == [str(second.pk), str(first.pk)]
    assert every[0]["attempts"][0]["cost"] == "0.000000005"
    assert [one["id"] for one in items_of(integration.get("/runs", status="succeeded"))] == [
        str(kept.pk)
    ]
    assert len(items_of(integration.get("/runs", job=first.pk))) == 1


def test_who_may_only_see_changes_nothing(team: Team, nothing_stored: NothingStored) -> None:
    job = make_job(team)
    caller = signed_in(person("viewer", "scheduling.view_cronjob"))
    path = f"/jobs/{job.pk}"
    assert caller.get(path).status_code == 200
    with nothing_stored():
        for response in (
            caller.patch(path, {"name": "Mine"}),
            caller.delete(path),
            caller.post(f"{path}/run"),
            caller.post(f"{path}/pause", {"reason": "Mine."}),
            caller.post(f"{path}/resume"),
            caller.post(f"{path}/rehearse"),
            caller.post(f"{path}/review", {"decision": "skip"}),
        ):
            assert_problem(response, 403)


def test_lists_take_few_queries(organisation: Caller, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        team = make_team()
        job = make_job(team, created_by=member_of(team))
        make_run(job)
    with django_assert_max_num_queries(5):
        assert len(items_of(organisation.get("/jobs"))) == 5
    with django_assert_max_num_queries(7):
        assert len(items_of(organisation.get(f"/jobs/{job.pk}/runs"))) == 1
    with django_assert_max_num_queries(3):
        assert len(items_of(organisation.get("/runs"))) == 5
    assert CronRun.objects.count() == 5
