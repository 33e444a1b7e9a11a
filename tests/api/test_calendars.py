"""Calendars through the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from governance.models import Team
from scheduling import calendars
from scheduling.models import CronJob
from tests.api.callers import Caller, body_of, items_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import make_job

pytestmark = pytest.mark.django_db


def test_a_team_keeps_its_calendar(integration: Caller, team: Team) -> None:
    body = {"name": "Holidays", "dates": ["2040-12-25", "2040-01-01", "2040-12-25"]}
    made = body_of(integration.post("/calendars", body))
    assert (made["team"], made["dates"]) == ("demo", ["2040-01-01", "2040-12-25"])
    path = f"/calendars/{made['id']}"
    assert body_of(integration.get(path)) == made
    assert items_of(integration.get("/calendars")) == [made]
    changed = body_of(integration.patch(path, {"dates": ["2040-05-01"]}))
    assert (changed["name"], changed["dates"]) == ("Holidays", ["2040-05-01"])
    assert integration.delete(path).status_code == 204
    assert_problem(integration.get(path), 404)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "Taken"}, {None}),
        ({"dates": ["25.12.2040"], "name": ""}, {"dates", "name"}),
        ({"dates": "2040-12-25"}, {"dates"}),
    ],
)
def test_a_bad_calendar_stores_nothing(
    integration: Caller,
    team: Team,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str | None],
) -> None:
    calendars.create(team=team, name="Taken", dates=[])
    with nothing_stored():
        found = faults(integration.post("/calendars", {"name": "Days", **changes}))
        assert found.keys() == fields


def test_new_days_move_what_goes_by_them(integration: Caller, team: Team) -> None:
    calendar = calendars.create(team=team, name="Days", dates=[])
    job = make_job(team, starts_at=datetime(2040, 1, 1, tzinfo=UTC), calendars=[calendar])
    path = f"/calendars/{calendar.pk}"
    integration.patch(path, {"dates": ["2040-01-01"]})
    moved = body_of(integration.get(f"/jobs/{job.pk}"))
    assert moved["next_slot"] == moved["due_at"] == "2040-01-02T09:00:00.000000Z"
    problem = assert_problem(integration.delete(path), 409, "in_use")
    assert problem["detail"].startswith("1 scheduled prompt goes by it: “Digest”.")
    CronJob.objects.get().calendars.clear()
    assert integration.delete(path).status_code == 204


def test_one_for_everyone_takes_a_permission(integration: Caller, team: Team) -> None:
    body = {"name": "Public holidays", "for_everyone": True}
    assert_problem(integration.post("/calendars", body), 403)
    planner = signed_in(person("planner", "scheduling.add_exclusioncalendar"))
    assert faults(planner.post("/calendars", {**body, "team": "demo"})).keys() == {"team"}
    made = body_of(planner.post("/calendars", body))
    assert made["team"] is None
    path = f"/calendars/{made['id']}"
    assert body_of(integration.get(path)) == made
    for refused in (integration.patch(path, {"name": "Mine"}), integration.delete(path)):
        assert_problem(refused, 403)
