"""Requests for more that last until a date, or that calls made; and the answers of kept calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance import overrides
from governance.errors import ApprovalRequired, CallError, InvalidRequest, RateLimited
from governance.models import Approval, AuditEntry, BudgetWindow, KeptCall, Team
from governance.snapshot import load_overrides
from governance.texts import READ, READ_PERMISSION
from providers.identifiers import new_id
from tests.api.callers import Caller, Reply, body_of, items_of, key_of, member_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.sides import make_call
from tests.api.test_problems import NEW_TEAM, fail_with
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
FAR = "2999-01-01T00:00:00.000000Z"


@pytest.fixture
def member(team: Team) -> User:
    return member_of(team)


def ask(member: User, policy: Any, **changes: Any) -> Reply:
    body = {"policy": str(policy.pk), "amount": "2.50", "reason": "A launch.", **changes}
    return signed_in(member).post("/approvals", body)


def asked_by_call(team: Team, **fields: Any) -> Approval:
    policy = make_policy(team=team, action="approval")
    call = make_call(team, status="blocked")
    approval: Approval = Approval.objects.create(
        team=team,
        policy=policy,
        amount=10**9,
        scope_value=str(team.pk),
        until="call",
        call_id=call.pk,
        reason="It needs approval.",
        **fields,
    )
    return approval


def test_until_a_date_raises_every_window_and_touches_none(
    organisation: Caller, member: User, team: Team
) -> None:
    policy = make_policy(team=team)
    asked = body_of(ask(member, policy, until="date", expires_at=FAR))
    assert (asked["until"], asked["expires_at"]) == ("date", FAR)
    assert asked["scope_value"] == str(team.pk)
    organisation.post(f"/approvals/{asked['id']}/decide", {"approve": True})
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()
    (override,) = load_overrides()[policy.pk]
    assert (override.amount, override.expires_at) == (
        2_500_000_000,
        datetime(2999, 1, 1, tzinfo=UTC),
    )


def test_what_was_ended_early_says_when_and_by_whom(
    organisation: Caller, member: User, team: Team
) -> None:
    asked = body_of(ask(member, make_policy(team=team), until="date", expires_at=FAR))
    assert (asked["ended_by"], asked["ended_at"]) == (None, None)
    body_of(organisation.post(f"/approvals/{asked['id']}/decide", {"approve": True}))
    root = User.objects.create_superuser("ender")
    now = timezone.now()

    overrides.end(approval_id=asked["id"], by=root, now=now)

    (listed,) = items_of(signed_in(member).get("/approvals"))
    for found in (listed, body_of(signed_in(member).get(f"/approvals/{asked['id']}"))):
        assert found["status"] == "approved"
        assert (found["ended_by"], datetime.fromisoformat(found["ended_at"])) == ("ender", now)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"until": "date"}, {"expires_at"}),
        ({"until": "date", "expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
        ({"until": "date", "expires_at": "2020-01-01"}, {"expires_at"}),
        ({"until": "call"}, {"until"}),
        ({"until": "ever"}, {"until"}),
        ({"scope_value": "somebody else's"}, {"policy"}),
        ({"until": "date", "amount": "0", "reason": ""}, {"expires_at", "amount", "reason"}),
    ],
    ids=str,
)
def test_what_cannot_last_so_long_stores_nothing(
    member: User,
    team: Team,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str],
) -> None:
    policy = make_policy()
    with nothing_stored():
        assert faults(ask(member, policy, **changes)).keys() == fields


def test_a_runs_budget_is_asked_about_until_a_date(member: User, team: Team) -> None:
    policy = make_policy(team=team, interval="run")
    assert faults(ask(member, policy)).keys() == {"until"}
    assert ask(member, policy, until="date", expires_at=FAR).status_code == 201


def test_a_date_that_passed_before_it_was_decided_can_only_be_denied(
    organisation: Caller, member: User, team: Team
) -> None:
    asked = body_of(ask(member, make_policy(team=team), until="date", expires_at=FAR))
    Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    path = f"/approvals/{asked['id']}/decide"
    problem = assert_problem(organisation.post(path, {"approve": True}), 403)
    assert "is past. Deny the request instead." in problem["detail"]
    assert body_of(organisation.post(path, {"approve": False}))["status"] == "denied"


def test_what_a_call_asked_for_is_read_with_its_teams_key_and_decided_by_a_person(
    organisation: Caller, integration: Caller, team: Team
) -> None:
    approval = asked_by_call(team)
    shown = body_of(integration.get(f"/approvals/{approval.pk}"))
    assert (shown["until"], shown["call_id"]) == ("call", str(approval.call_id))
    assert (shown["requested_by"], shown["status"]) == (None, "pending")
    assert items_of(integration.get("/approvals")) == [shown]
    assert_problem(integration.post(f"/approvals/{approval.pk}/decide", {"approve": True}), 403)
    decided = body_of(organisation.post(f"/approvals/{approval.pk}/decide", {"approve": True}))
    assert decided["status"] == "approved"
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()


def test_whoever_made_the_call_does_not_decide_it(
    organisation: Caller, administrator: User, team: Team
) -> None:
    approval = asked_by_call(team, requested_by=administrator)
    path = f"/approvals/{approval.pk}/decide"
    problem = assert_problem(organisation.post(path, {"approve": True}), 403)
    assert "your own request" in problem["detail"]


def test_several_calls_may_ask_at_once_and_a_person_as_well(member: User, team: Team) -> None:
    first = asked_by_call(team)
    Approval.objects.create(
        team=team,
        policy=first.policy,
        amount=1,
        scope_value=first.scope_value,
        until="call",
        call_id=new_id(),
        reason="It needs approval.",
    )
    assert ask(member, first.policy).status_code == 201


@pytest.mark.parametrize(
    ("status", "columns"),
    [
        ("waiting", {}),
        ("succeeded", {"answer": {"body": {"choices": []}, "model": "p/m"}}),
        ("denied", {"error": {"status": 402, "code": "denied", "message": "No."}}),
    ],
)
def test_the_answer_of_a_kept_call_is_fetched(
    integration: Caller, team: Team, status: str, columns: dict[str, Any]
) -> None:
    call = make_call(team, status=status)
    ended = timezone.now() if columns else None
    KeptCall.objects.create(
        id=call.pk, team=team, ended_at=ended, expires_at=timezone.now(), **columns
    )
    found = body_of(integration.get(f"/calls/{call.pk}/answer"))
    assert (found["call_id"], found["status"]) == (str(call.pk), status)
    assert (found["ended_at"] is None) == (ended is None)
    assert found["answer"] == columns.get("answer")
    assert found["error"] == columns.get("error")
    assert_problem(key_of(make_team()).get(f"/calls/{call.pk}/answer"), 404)


SEES_CALLS = "governance.view_modelcall"


@pytest.mark.parametrize(
    ("permissions", "status", "told"),
    [((SEES_CALLS,), 403, 0), ((SEES_CALLS, READ_PERMISSION), 200, 1)],
)
def test_another_teams_answer_takes_a_permission_and_is_told_of(
    team: Team, permissions: tuple[str, ...], status: int, told: int
) -> None:
    call = make_call(team)
    KeptCall.objects.create(
        id=call.pk, team=team, expires_at=timezone.now(), answer={"body": "A secret plan."}
    )
    reader = person("reader", *permissions)
    reply = signed_in(reader).get(f"/calls/{call.pk}/answer")

    assert reply.status_code == status
    assert ("A secret plan." in reply.content.decode()) == bool(told)
    readings = AuditEntry.objects.filter(action=READ, object_id=str(call.pk), user_id=reader.pk)
    assert readings.count() == told
    # Of one's own team it is one's own.
    member = member_of(team)
    assert signed_in(member).get(f"/calls/{call.pk}/answer").status_code == 200
    assert not AuditEntry.objects.filter(action=READ, user_id=member.pk).exists()


def test_a_call_that_was_not_kept_has_no_answer_to_fetch(integration: Caller, team: Team) -> None:
    assert_problem(integration.get(f"/calls/{make_call(team).pk}/answer"), 404)
    assert_problem(integration.get(f"/calls/{new_id()}/answer"), 404)


CALL = new_id()


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidRequest("No."), 400, {"x-should-retry": "false"}),
        (
            ApprovalRequired("No.", call_id=CALL, detail={"approval": "x"}),
            402,
            {"x-should-retry": "false", "x-palyra-call-id": str(CALL)},
        ),
        (RateLimited("No.", retry_after=2.1), 429, {"Retry-After": "3"}),
    ],
    ids=["at fault", "approval", "rate"],
)
def test_a_refused_call_is_a_problem_with_the_headers_of_the_endpoint(
    organisation: Caller,
    monkeypatch: pytest.MonkeyPatch,
    error: CallError,
    status: int,
    headers: dict[str, str],
) -> None:
    fail_with(monkeypatch, error)
    response = organisation.post("/teams", NEW_TEAM)
    assert_problem(response, status, error.code)
    named = ("x-should-retry", "x-palyra-call-id", "Retry-After")
    assert {name: response.headers[name] for name in named if name in response.headers} == headers
