"""Calls and routing decisions through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from governance.complexity import WEIGHTS
from governance.models import BudgetWindow, CallStatus, Team
from tests.api.callers import Caller, body_of, items_of, member_of
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import NOON, make_call
from tests.support.factories import make_model, make_policy, make_price

pytestmark = pytest.mark.django_db


def test_a_call_is_listed(integration: Caller, team: Team) -> None:
    call = make_call(team, estimate_upper=99_000)
    (listed,) = items_of(integration.get("/calls"))
    assert listed == {
        "id": str(call.pk),
        "team": "demo",
        "key": None,
        "person": None,
        "job_id": None,
        "run_id": None,
        "surface": "openai",
        "task_class": "primary_interactive",
        "role": "chat",
        "streamed": False,
        "cached": False,
        "requested_model": "small",
        "provider": "rehearsal",
        "model": "small",
        "status": "succeeded",
        "failure_class": "",
        "error": "",
        "admitted_at": "2026-03-01T12:00:00.000000Z",
        "settled_at": "2026-03-01T12:00:00.000000Z",
        "latency_ms": None,
        "first_token_ms": None,
        "usage": {
            "uncached_input": 10,
            "cache_read": None,
            "cache_write_5m": None,
            "cache_write_1h": None,
            "output": 5,
            "total": 15,
            "reported": True,
        },
        "estimate_lower": None,
        "estimate_upper": "0.000099000",
        "cost": "0.000012500",
        "overrun": "0.000000000",
        "compared_cost": None,
        "session": "",
    }


def test_calls_are_filtered(integration: Caller, team: Team) -> None:
    run, job = uuid4(), uuid4()
    plain = make_call(team)
    of_run = make_call(team, run_id=run, job_id=job)
    failed = make_call(team, status=CallStatus.FAILED, cost=None)
    large = make_call(team, model="large", admitted_at=NOON + timedelta(hours=1))

    def found(**query: str) -> set[str]:
        return {item["id"] for item in items_of(integration.get("/calls", **query))}

    def ids(*calls: Any) -> set[str]:
        return {str(call.pk) for call in calls}

    assert found() == ids(plain, of_run, failed, large)
    assert found(status="failed") == ids(failed)
    assert found(model="large") == ids(large)
    assert found(run_id=str(run)) == found(job_id=str(job)) == ids(of_run)
    assert found(since="2026-03-01T13:00:00Z") == ids(large)
    assert found(until="2026-03-01T14:00:00+01:00") == ids(plain, of_run, failed)
    assert found(team="demo", model="large", status="failed") == set()


EVALUATION = {
    "policy": "Monthly",
    "policy_id": 7,
    "scope": "team",
    "metric": "cost",
    "outcome": "ok",
    "soft_limit": None,
    "limit": 10**9,
    "consumed": 1,
    "held": 0,
    "requested": 99_000,
    "resets_at": "2026-04-01T00:00:00+00:00",
    "explanation": "“Monthly” has room.",
}
DECISION = {
    "mode": "suggest",
    "task_class": "primary_interactive",
    "requested": "auto",
    "default": "rehearsal/small",
    "recommended": "rehearsal/small",
    "actual": "rehearsal/small",
    "provider": "rehearsal",
    "model": "small",
    "action": "proceed",
    "output_cap": 100,
    "reason_codes": ["default_model"],
    "explanation": ["It is the default."],
    "candidates": [
        {"model": "rehearsal/small", "eligible": True, "reason": "fits", "estimate_upper": 99_000}
    ],
    "estimate": {
        "lower": 1,
        "expected": 50_000,
        "upper": 99_000,
        "source": "operator",
        "precision": "exact",
    },
}


def test_a_call_tells_its_whole_story(integration: Caller, team: Team) -> None:
    policy = make_policy(name="Monthly", team=team)
    window = BudgetWindow.objects.create(policy=policy, starts_at=NOON)
    call = make_call(
        team,
        decision=DECISION,
        evaluations=[EVALUATION],
        holds=[
            {"window": window.pk, "metric": "cost", "amount": 99_000, "charged": 12_500},
            {"window": 0, "metric": "requests", "amount": 1},
        ],
        attempts=[
            {"provider": "rehearsal", "model": "small", "outcome": "answered", "latency_ms": 12}
        ],
    )
    story = body_of(integration.get(f"/calls/{call.pk}"))
    assert story["decision"]["candidates"][0]["estimate_upper"] == "0.000099000"
    assert story["decision"]["estimate"]["lower"] == "0.000000001"
    assert story["decision"]["explanation"] == ["It is the default."]
    (evaluation,) = story["evaluations"]
    assert (evaluation["limit"], evaluation["requested"]) == ("1.000000000", "0.000099000")
    assert (evaluation["policy_id"], evaluation["soft_limit"]) == ("7", None)
    assert evaluation["resets_at"] == "2026-04-01T00:00:00.000000Z"
    assert story["holds"] == [
        {
            "policy": "Monthly",
            "metric": "cost",
            "amount": "0.000099000",
            "charged": "0.000012500",
        },
        {"policy": None, "metric": "requests", "amount": "1", "charged": None},
    ]
    assert story["attempts"][0]["latency_ms"] == 12
    assert (story["id"], story["cost"]) == (str(call.pk), "0.000012500")


def test_a_call_in_flight_tells_what_there_is(integration: Caller, team: Team) -> None:
    call = make_call(
        team,
        status=CallStatus.IN_FLIGHT,
        owner=uuid4(),
        expires_at=NOON,
        settled_at=None,
        uncached_input_tokens=None,
        output_tokens=None,
        cost=None,
    )
    story = body_of(integration.get(f"/calls/{call.pk}"))
    assert (story["status"], story["cost"], story["settled_at"]) == ("in_flight", None, None)
    assert story["usage"]["total"] is None
    assert (story["evaluations"], story["holds"], story["attempts"]) == ([], [], [])


def test_calls_take_few_queries(integration: Caller, django_assert_max_num_queries: Any) -> None:
    team = Team.objects.get()
    member = member_of(team)
    for _ in range(5):
        make_call(team, user=member)
    with django_assert_max_num_queries(2):
        assert len(items_of(integration.get("/calls"))) == 5


CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}


def test_a_route_is_explained_and_nothing_is_called(
    integration: Caller, nothing_stored: NothingStored
) -> None:
    model = make_model(name="small", is_default=True)
    make_price(model)
    make_model(name="large")
    with nothing_stored():
        response = integration.post("/routing/decide", {"request": CHAT})
    assert response.status_code == 200
    decision = body_of(response)
    assert (decision["mode"], decision["model"], decision["requested"]) == (
        "enforced",
        "small",
        "auto",
    )
    assert decision["mode_source"] == "auto"
    assert decision["compared"]["model"].endswith("/small")
    assert decision["compared"]["expected"].startswith("0.00")
    assert 0 <= float(decision["score"]["total"]) < 0.1
    assert {one["name"] for one in decision["score"]["components"]} == set(WEIGHTS)
    assert {one["model"].rpartition("/")[2] for one in decision["candidates"]} == {"small", "large"}
    assert decision["explanation"]
    assert decision["estimate"]["upper"].startswith("0.00")


@pytest.mark.parametrize(
    ("request_", "status", "code", "field"),
    [
        ({**CHAT, "model": "nowhere"}, 404, "model_not_found", "model"),
        ({**CHAT, "model": ""}, 400, "invalid_request", "model"),
        ({**CHAT, "messages": []}, 400, "invalid_request", "messages"),
        ({**CHAT, "max_tokens": 0}, 400, "invalid_request", "max_tokens"),
    ],
)
def test_a_route_that_cannot_be_is_refused(
    integration: Caller, request_: dict[str, Any], status: int, code: str, field: str
) -> None:
    make_model(name="small", is_default=True)
    response = integration.post("/routing/decide", {"request": request_})
    problem = assert_problem(response, status, code)
    assert [fault["field"] for fault in problem["errors"]] == [field]


def test_a_task_class_is_one_of_those_there_are(integration: Caller) -> None:
    found = faults(integration.post("/routing/decide", {"request": CHAT, "task_class": "leisure"}))
    assert "primary_interactive" in found["task_class"]
