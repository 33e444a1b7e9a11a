"""Two teams cannot see or touch each other's anything, through any operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from governance.models import ApiKey, Approval, ApprovalStatus, Membership
from palyra_site.api.root import api
from scheduling.models import CronJob, ExclusionCalendar
from tests import keeping
from tests.api.callers import Caller, holder, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import Side, make_side

# Whose things are whose is asked of Python; lists of them are queried.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

JOB = {"name": "Mine", "schedule_kind": "cron", "cron": "0 9 * * *", "prompt": "Sum up."}


@dataclass(frozen=True, slots=True)
class Step:
    """A request that names another team's thing."""

    method: str
    path: str
    body: Any = None


# By operation: a request for what is the other team's.
FOREIGN: dict[str, Callable[[Side], Step]] = {
    "list_keys": lambda other: Step("GET", f"/keys?team={other.team.slug}"),
    "add_key": lambda other: Step("POST", "/keys", {"team": other.team.slug, "name": "Mine"}),
    "change_key": lambda other: Step(
        "PATCH", f"/keys/{other.key.record.public_id}", {"name": "Mine"}
    ),
    "revoke_key": lambda other: Step("DELETE", f"/keys/{other.key.record.public_id}"),
    "list_budgets": lambda other: Step("GET", f"/budgets?team={other.team.slug}"),
    "list_approvals": lambda other: Step("GET", f"/approvals?team={other.team.slug}"),
    "request_approval": lambda other: Step("POST", "/approvals", wish(other, other.team.slug)),
    "decide_approval": lambda other: Step(
        "POST", f"/approvals/{other.approval.pk}/decide", {"approve": True}
    ),
    "list_calls": lambda other: Step("GET", f"/calls?team={other.team.slug}"),
    "get_call": lambda other: Step("GET", f"/calls/{other.call.pk}"),
    "summarise_usage": lambda other: Step("GET", f"/usage/summary?team={other.team.slug}"),
    "list_usage_by_day": lambda other: Step("GET", f"/usage/by-day?team={other.team.slug}"),
    "list_usage_series": lambda other: Step("GET", f"/usage/series?team={other.team.slug}"),
    "break_usage_down": lambda other: Step(
        "GET", f"/usage/breakdown?by=model&team={other.team.slug}"
    ),
    "get_usage_mix": lambda other: Step("GET", f"/usage/mix?team={other.team.slug}"),
    "list_usage_sessions": lambda other: Step("GET", f"/usage/sessions?team={other.team.slug}"),
    "list_usage_latency": lambda other: Step("GET", f"/usage/latency?team={other.team.slug}"),
    "forecast_usage": lambda other: Step("GET", f"/usage/forecast?team={other.team.slug}"),
    "list_usage_savings": lambda other: Step("GET", f"/usage/savings?team={other.team.slug}"),
    "export_usage": lambda other: Step("GET", f"/usage/export?team={other.team.slug}"),
    "decide_route": lambda other: Step(
        "POST", "/routing/decide", {"team": other.team.slug, "request": {}}
    ),
    "list_jobs": lambda other: Step("GET", f"/jobs?team={other.team.slug}"),
    "add_job": lambda other: Step("POST", "/jobs", {"team": other.team.slug, **JOB}),
    "get_job": lambda other: Step("GET", f"/jobs/{other.job.pk}"),
    "change_job": lambda other: Step("PATCH", f"/jobs/{other.job.pk}", {"name": "Mine"}),
    "delete_job": lambda other: Step("DELETE", f"/jobs/{other.job.pk}"),
    "run_job": lambda other: Step("POST", f"/jobs/{other.job.pk}/run"),
    "pause_job": lambda other: Step("POST", f"/jobs/{other.job.pk}/pause", {"reason": "Mine."}),
    "resume_job": lambda other: Step("POST", f"/jobs/{other.job.pk}/resume"),
    "list_runs": lambda other: Step("GET", f"/jobs/{other.job.pk}/runs"),
    "get_kept_answer": lambda other: Step("GET", f"/calls/{other.call.pk}/answer"),
    "get_approval": lambda other: Step("GET", f"/approvals/{other.approval.pk}"),
    "get_run": lambda other: Step("GET", f"/runs/{other.run.pk}"),
    "rehearse_job": lambda other: Step("POST", f"/jobs/{other.job.pk}/rehearse"),
    "review_missed_times": lambda other: Step(
        "POST", f"/jobs/{other.job.pk}/review", {"decision": "skip"}
    ),
    "list_all_runs": lambda other: Step("GET", f"/runs?job={other.job.pk}"),
    "cancel_run": lambda other: Step("POST", f"/runs/{other.run.pk}/cancel", {}),
    "add_calendar": lambda other: Step(
        "POST", "/calendars", {"team": other.team.slug, "name": "Mine"}
    ),
    "get_calendar": lambda other: Step("GET", f"/calendars/{other.calendar.pk}"),
    "change_calendar": lambda other: Step(
        "PATCH", f"/calendars/{other.calendar.pk}", {"dates": []}
    ),
    "delete_calendar": lambda other: Step("DELETE", f"/calendars/{other.calendar.pk}"),
    "get_delivery": lambda other: Step("GET", f"/deliveries/{other.delivery.pk}"),
    "redeliver": lambda other: Step("POST", f"/deliveries/{other.delivery.pk}/redeliver"),
}


def wish(other: Side, slug: str) -> dict[str, Any]:
    """A request for more of the other team's budget."""
    return {"team": slug, "policy": str(other.policy.pk), "amount": "1", "reason": "Why not."}


ORGANISATION = {
    "list_providers": Step("GET", "/providers"),
    "add_provider": Step("POST", "/providers", {"name": "mine", "kind": "deterministic"}),
    "get_provider": Step("GET", "/providers/any"),
    "change_provider": Step("PATCH", "/providers/any", {"enabled": False}),
    "delete_provider": Step("DELETE", "/providers/any"),
    "get_provider_health": Step("GET", "/providers/any/health"),
    "test_provider_connection": Step("POST", "/providers/any/test-connection"),
    "set_provider_breaker": Step("POST", "/providers/any/breaker", {"action": "reset"}),
    "discover_models": Step("POST", "/providers/any/discover", {}),
    "apply_discovered_models": Step("POST", "/providers/any/discover/apply", {"models": []}),
    "list_provider_metrics": Step("GET", "/provider-metrics"),
    "list_provider_presets": Step("GET", "/provider-presets"),
    "add_provider_from_preset": Step("POST", "/providers/from-preset", {"preset": "ollama"}),
    "correct_call": Step(
        "POST",
        "/calls/01890000-0000-7000-8000-000000000000/correct",
        {"answered": False, "reason": "I asked them."},
    ),
    "list_audit_entries": Step("GET", "/audit"),
    "get_failover_policy": Step("GET", "/failover-policy"),
    "change_failover_policy": Step("PATCH", "/failover-policy", {"pinned": True}),
    "add_model": Step("POST", "/providers/any/models", {"name": "mine"}),
    "change_model": Step("PATCH", "/models/1", {"enabled": False}),
    "delete_model": Step("DELETE", "/models/1"),
    "add_team": Step("POST", "/teams", {"slug": "mine", "name": "Mine"}),
    "change_team": Step("PATCH", "/teams/any", {"allowed_models": []}),
    "list_prices": Step("GET", "/prices"),
    "add_price": Step("POST", "/prices", {"model": "1", "uncached_input": "0", "output": "0"}),
    "preview_price_import": Step("GET", "/prices/import"),
    "apply_price_import": Step("POST", "/prices/import/apply", {}),
    "list_policies": Step("GET", "/policies"),
    "get_settings": Step("GET", "/settings"),
    "change_settings": Step("PATCH", "/settings", {"routing_mode": "enforced"}),
    "get_policy": Step("GET", "/policies/1"),
    "add_policy": Step("POST", "/policies", {"name": "Mine", "hard_limit": "1"}),
    "change_policy": Step("PATCH", "/policies/1", {"hard_limit": "1000"}),
    "acknowledge_alert": Step("POST", "/alerts/00000000-0000-0000-0000-000000000001/acknowledge"),
    "mute_alert": Step(
        "POST",
        "/alerts/00000000-0000-0000-0000-000000000001/mute",
        {"until": "2999-01-01T00:00:00Z"},
    ),
    "resolve_alert": Step("POST", "/alerts/00000000-0000-0000-0000-000000000001/resolve"),
    "add_channel": Step("POST", "/channels", {"name": "mine"}),
    "change_channel": Step("PATCH", "/channels/1", {"enabled": False}),
    "delete_channel": Step("DELETE", "/channels/1"),
    "test_channel": Step("POST", "/channels/1/test"),
    "list_maintenance": Step("GET", "/maintenance"),
    "pause_maintenance": Step("POST", "/maintenance/alerts/pause", {"reason": "Mine."}),
    "resume_maintenance": Step("POST", "/maintenance/alerts/resume"),
    "run_maintenance": Step("POST", "/maintenance/alerts/run"),
    "schedule_maintenance": Step("PUT", "/maintenance/alerts/schedule", {"every_seconds": 1}),
}
# What they give is everyone's, or the caller's own teams and nothing that can be named.
OPEN = {
    "list_alerts",
    "list_calendars",
    "list_channels",
    "list_deliveries",
    "list_teams",
    "list_models",
    "preview_schedule",
}


@pytest.fixture
def both() -> tuple[Side, Side]:
    return keeping.made_once(_both)


def _both() -> tuple[Side, Side]:
    return make_side("mine"), make_side("other")


@pytest.fixture
def mine(both: tuple[Side, Side]) -> Side:
    return both[0]


@pytest.fixture
def other(both: tuple[Side, Side]) -> Side:
    return both[1]


@pytest.fixture(params=["key", "member", "manager"])
def caller(request: pytest.FixtureRequest, mine: Side) -> Caller:
    if request.param == "key":
        return holder(mine.key.text)
    return signed_in(mine.member if request.param == "member" else mine.manager)


def test_the_walk_knows_every_operation() -> None:
    documented = {
        operation["operationId"]
        for methods in api.get_openapi_schema(path_prefix="/")["paths"].values()
        for operation in methods.values()
    }
    assert documented == {*FOREIGN, *ORGANISATION, *OPEN}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_another_teams_is_not_there(
    name: str, caller: Caller, other: Side, nothing_stored: NothingStored
) -> None:
    step = FOREIGN[name](other)
    with nothing_stored():
        response = caller.send(step.method, step.path, step.body)
    # A key is told first that these take a person, whatever team is named.
    takes_a_person = caller.headers and name in {"add_key", "change_key", "request_approval"}
    assert_problem(response, 403 if takes_a_person else 404)
    assert other.team.name not in response.content.decode()
    assert_untouched(other)


def assert_untouched(other: Side) -> None:
    assert CronJob.objects.get(pk=other.job.pk).revision == other.job.revision
    assert ExclusionCalendar.objects.get(pk=other.calendar.pk).dates == other.calendar.dates
    assert ApiKey.objects.get(pk=other.key.record.pk).revoked_at is None
    assert Approval.objects.get(pk=other.approval.pk).status == ApprovalStatus.PENDING


def test_another_teams_budget_cannot_be_asked_for_as_ones_own(mine: Side, other: Side) -> None:
    response = signed_in(mine.member).post("/approvals", wish(other, mine.team.slug))
    assert_problem(response, 404)


@pytest.mark.parametrize("name", ORGANISATION)
def test_what_is_the_organisations_takes_a_permission(
    name: str, caller: Caller, nothing_stored: NothingStored
) -> None:
    step = ORGANISATION[name]
    with nothing_stored():
        problem = assert_problem(caller.send(step.method, step.path, step.body), 403)
    assert "permission “" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/teams",
        "/keys",
        "/budgets",
        "/approvals",
        "/calls",
        "/channels",
        "/deliveries",
        "/jobs",
        "/calendars",
        "/usage/by-day?since=2026-01-01T00:00:00Z&until=2026-06-01T00:00:00Z",
        "/usage/breakdown?by=team&since=2026-01-01T00:00:00Z",
        "/usage/series?by=team&since=2026-01-01T00:00:00Z",
        "/usage/mix?since=2026-01-01T00:00:00Z",
        "/usage/latency?by=team&since=2026-01-01T00:00:00Z",
        "/usage/savings?since=2026-01-01T00:00:00Z",
        "/usage/sessions",
    ],
)
@pytest.mark.every_database
def test_lists_show_ones_own_and_nothing_of_others(
    path: str, caller: Caller, mine: Side, other: Side
) -> None:
    text = caller.send("GET", path).content.decode()
    assert mine.team.slug in text.lower()
    assert other.team.slug not in text.lower()


@pytest.mark.parametrize("path", ["/teams", "/keys", "/budgets", "/approvals", "/calls", "/jobs"])
def test_an_outsider_sees_nothing(path: str, mine: Side) -> None:
    response = signed_in(person("outsider")).get(path)
    assert response.status_code == 200
    assert response.json()["items"] == []


@pytest.mark.parametrize("path", ["/teams", "/keys", "/budgets", "/approvals", "/calls", "/jobs"])
def test_the_organisation_sees_everyones(
    path: str, organisation: Caller, mine: Side, other: Side
) -> None:
    text = organisation.get(path).content.decode()
    assert mine.team.slug in text
    assert other.team.slug in text


def test_a_person_of_both_teams_acts_for_both_and_says_which(mine: Side, other: Side) -> None:
    Membership.objects.create(team=other.team, user=mine.member)
    caller = signed_in(mine.member)
    found = faults(caller.post("/jobs", {**JOB, "name": "New"}))
    assert found == {"team": "Say which team: mine, other."}
    made = caller.post("/jobs", {"team": "other", **JOB, "name": "New"})
    assert made.status_code == 201
    assert CronJob.objects.get(name="New").team == other.team
    assert len(caller.get("/jobs").json()["items"]) == 3
