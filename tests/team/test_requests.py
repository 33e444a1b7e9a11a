"""Asking for more budget on the team pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import Approval, ApprovalStatus, BudgetPolicy, Team
from tests.support.factories import make_policy
from tests.team.conftest import DOLLAR, People

ASK = reverse("team:request-create", args=["blue"])
LIST = reverse("team:requests", args=["blue"])


def _form(policy: BudgetPolicy, **fields: Any) -> dict[str, Any]:
    return {"policy": policy.name, "amount": "12.50", "reason": "Quarter end.", **fields}


def test_dollars_are_asked_for_exactly(
    member: Client, people: People, team: Team, policy: BudgetPolicy
) -> None:
    response = member.post(ASK, _form(policy, amount="12.345678901"), follow=True)
    approval = Approval.objects.get()
    assert (approval.team, approval.policy) == (team, policy)
    assert approval.amount == 12_345_678_901
    assert approval.requested_by == people.member
    shown = response.content.decode()
    assert "Asked for $12.35 more of “Blue monthly”" in shown
    assert "Pending" in shown


def test_tokens_are_asked_for_in_whole_numbers(member: Client, team: Team) -> None:
    tokens = make_policy(name="Tokens", team=team, metric="tokens", hard_limit=10)
    refused = member.post(ASK, _form(tokens, amount="1.5"))
    assert "ask for a whole number" in refused.content.decode()
    assert not Approval.objects.exists()
    member.post(ASK, _form(tokens, amount="1500"))
    assert Approval.objects.get().amount == 1500


@pytest.mark.parametrize("amount", ["", "0", "-1", "many", "1e400", "NaN", "1,5"])
def test_an_amount_that_is_none_stores_nothing(
    member: Client, policy: BudgetPolicy, amount: str
) -> None:
    response = member.post(ASK, _form(policy, amount=amount))
    assert response.status_code == 200
    assert "amount" in response.context["form"].errors
    assert not Approval.objects.exists()


def test_every_fault_is_shown_at_once(member: Client, policy: BudgetPolicy) -> None:
    response = member.post(ASK, {"policy": "Nobody's", "amount": "", "reason": "x" * 501})
    assert set(response.context["form"].errors) == {"policy", "amount", "reason"}
    assert not Approval.objects.exists()


def test_only_one_request_waits_for_a_budget(
    member: Client, manager: Client, policy: BudgetPolicy
) -> None:
    member.post(ASK, _form(policy))
    response = manager.post(ASK, _form(policy))
    assert "already waiting to be decided" in response.content.decode()
    assert Approval.objects.count() == 1
    assert "A request is waiting" in manager.get(ASK).content.decode()


def test_the_budget_one_came_from_is_chosen(
    member: Client, team: Team, policy: BudgetPolicy
) -> None:
    make_policy(name="Another", team=team, hard_limit=DOLLAR)
    page = member.get(ASK, {"policy": policy.name}).content.decode()
    assert 'value="Blue monthly" checked' in page
    assert 'value="Another" checked' not in page


def test_only_what_can_be_raised_is_offered(
    member: Client, team: Team, policy: BudgetPolicy
) -> None:
    make_policy(name="Only warns", team=team, soft_limit=DOLLAR)
    make_policy(name="Off", team=team, enabled=False)
    make_policy(name="Everyone", scope="global")
    page = member.get(ASK).content.decode()
    assert "Blue monthly" in page
    assert "Everyone" in page
    assert "Only warns" not in page
    assert "Off" not in page


def test_where_nothing_can_be_raised_there_is_nothing_to_ask(member: Client, team: Team) -> None:
    for where in (ASK, LIST):
        assert "No budget can stop this team" in member.get(where).content.decode()


def test_a_decision_and_its_comment_are_shown(
    member: Client, people: People, team: Team, policy: BudgetPolicy
) -> None:
    member.post(ASK, _form(policy))
    Approval.objects.update(
        status=ApprovalStatus.DENIED, decided_by=people.superuser, comment="Next month."
    )
    page = member.get(LIST).content.decode()
    assert "Denied" in page
    assert "Next month." in page
