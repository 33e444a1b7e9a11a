"""Asking for more budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from governance import keys
from governance.approvals import decide
from governance.models import (
    Approval,
    ApprovalStatus,
    BudgetPolicy,
    BudgetWindow,
    Team,
)
from tests.governance.approvals.dates import DOLLAR, NOW, at_once

pytestmark = pytest.mark.django_db


def test_a_request_waits_with_what_was_asked(ask: Callable[..., Approval], member: User) -> None:
    approval = ask(reason="  Quarter end.  ")
    stored = Approval.objects.get(pk=approval.pk)
    assert stored.status == ApprovalStatus.PENDING
    assert (stored.amount, stored.reason) == (5 * DOLLAR, "Quarter end.")
    assert stored.requested_by == member
    assert stored.window is None
    assert not BudgetWindow.objects.exists()


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_an_impossible_amount_is_refused(ask: Callable[..., Approval], amount: int) -> None:
    with pytest.raises(ValidationError) as refusal:
        ask(amount=amount)
    assert list(refusal.value.message_dict) == ["amount"]
    assert not Approval.objects.exists()


def test_every_fault_is_said_at_once(ask: Callable[..., Approval], team: Team) -> None:
    elsewhere = Team.objects.create(slug="red", name="Red")
    foreign = BudgetPolicy.objects.create(name="Red monthly", team=elsewhere, hard_limit=1)
    with pytest.raises(ValidationError) as refusal:
        ask(amount=0, reason=" ", policy=foreign)
    assert set(refusal.value.message_dict) == {"amount", "reason", "policy"}
    assert not Approval.objects.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"enabled": False}, "switched off"),
        ({"hard_limit": None, "soft_limit": DOLLAR}, "only warns"),
    ],
)
def test_a_budget_that_stops_nothing_cannot_be_asked_about(
    ask: Callable[..., Approval], policy: BudgetPolicy, change: dict[str, Any], words: str
) -> None:
    for name, value in change.items():
        setattr(policy, name, value)
    policy.save()
    with pytest.raises(ValidationError, match=words):
        ask()


def test_one_request_at_a_time_for_a_policy_and_team(
    ask: Callable[..., Approval], boss: User
) -> None:
    first = ask()
    with pytest.raises(ValidationError, match="already waiting"):
        ask()
    decide(approval_id=first.pk, decided_by=boss, approve=False, comment="", now=NOW)
    ask()
    assert Approval.objects.count() == 2


def test_the_same_policy_may_be_asked_about_by_two_teams(ask: Callable[..., Approval]) -> None:
    for_each = BudgetPolicy.objects.create(name="Each team", hard_limit=DOLLAR)
    red = Team.objects.create(slug="red", name="Red")
    ask(policy=for_each)
    ask(policy=for_each, team=red)
    assert Approval.objects.count() == 2


@pytest.mark.parametrize("own", [True, False], ids=["of the team", "of everyone"])
@pytest.mark.parametrize("scope", ["team", "user", "api_key", "job", "session"])
@pytest.mark.parametrize(
    "value", ["abc", "0", "-1", "9" * 30, "²", "x\0", ":s", "abc:s", str(UUID(int=7)), "a" * 301]
)
def test_a_budget_of_nobody_is_refused(
    ask: Callable[..., Approval], team: Team, scope: str, value: str, *, own: bool
) -> None:
    of = BudgetPolicy.objects.create(
        name="Each", team=team if own else None, scope=scope, hard_limit=DOLLAR
    )
    with pytest.raises(ValidationError) as refusal:
        ask(policy=of, scope_value=value)
    assert {"policy", "scope_value"} >= set(refusal.value.message_dict)
    assert not Approval.objects.exists()


def test_a_budget_of_somebody_is_asked_about(
    ask: Callable[..., Approval], team: Team, member: User
) -> None:
    key = keys.create(team=team, name="own").record
    other = keys.create(team=Team.objects.create(slug="red", name="Red"), name="other").record
    for scope, value in (("user", str(member.pk)), ("api_key", str(key.pk))):
        of = BudgetPolicy.objects.create(name=scope, team=team, scope=scope, hard_limit=DOLLAR)
        assert ask(policy=of, scope_value=value).scope_value == value
    with pytest.raises(ValidationError, match="Red"):
        ask(policy=of, scope_value=str(other.pk))
    of = BudgetPolicy.objects.create(name="session", team=team, scope="session", hard_limit=DOLLAR)
    assert ask(policy=of, scope_value=f"{team.pk}:night").scope_value == f"{team.pk}:night"
    for wrong in (f"{team.pk}:", "night", f"{other.team_id}:night"):
        with pytest.raises(ValidationError):
            ask(policy=of, scope_value=wrong)


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_once_one_waits(ask: Callable[..., Approval]) -> None:
    def send(number: int) -> str:
        try:
            ask(reason=f"Thread {number}")
        except ValidationError as refusal:
            return refusal.messages[0]
        return "asked"

    said = at_once(send, 5)
    assert said.count("asked") == 1
    assert all("already waiting" in words for words in said if words != "asked")
    assert Approval.objects.count() == 1
