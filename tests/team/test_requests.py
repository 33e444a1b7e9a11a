"""Asking for more budget on the team pages."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.budgets import WindowKey
from governance.ledger import open_window
from governance.models import Approval, ApprovalStatus, BudgetPolicy, BudgetWindow, Team
from governance.snapshot import policy_entry
from governance.windows import Period, period
from providers.identifiers import new_id
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


def test_what_was_ended_early_says_so(
    member: Client, people: People, team: Team, policy: BudgetPolicy
) -> None:
    member.post(ASK, _form(policy))
    Approval.objects.update(status=ApprovalStatus.APPROVED, decided_by=people.superuser)
    assert "Ended early" not in member.get(LIST).content.decode()

    Approval.objects.update(ended_at=datetime(2024, 5, 6, 20, 30, tzinfo=UTC))

    html = member.get(LIST).content.decode()
    assert "Ended early on <time" in html
    assert "Mon 6 May 2024, 22:30" in html


def test_until_a_date_means_to_the_end_of_that_day_in_the_teams_zone(
    member: Client, policy: BudgetPolicy
) -> None:
    last = timezone.localdate() + timedelta(days=40)
    shown = member.post(ASK, _form(policy, until="date", last_day=last.isoformat()), follow=True)
    approval = Approval.objects.get()
    assert approval.until == "date"
    assert approval.expires_at == datetime.combine(
        last + timedelta(days=1), time(), ZoneInfo("Europe/Prague")
    )
    after = last + timedelta(days=1)
    assert f"until {after.day} {after:%b %Y}, 00:00" in shown.content.decode()


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("", "Say until when."),
        ("2020-01-01", "Choose today or a day of the next ten years."),
        ("9999-12-31", "Choose today or a day of the next ten years."),
        ("soon", "Give a day as 2026-12-31."),
    ],
)
def test_a_day_that_is_none_stores_nothing(
    member: Client, policy: BudgetPolicy, day: str, words: str
) -> None:
    response = member.post(ASK, _form(policy, until="date", last_day=day))
    assert response.context["form"].errors == {"last_day": [words]}
    assert not Approval.objects.exists()


def test_a_day_counts_for_nothing_where_the_reset_is_meant(
    member: Client, policy: BudgetPolicy
) -> None:
    member.post(ASK, _form(policy, until="reset", last_day="2020-01-01"))
    approval = Approval.objects.get()
    assert (approval.until, approval.expires_at) == ("reset", None)


def test_a_runs_budget_can_only_be_asked_about_until_a_date(member: Client, team: Team) -> None:
    of_run = make_policy(name="Each run", interval="run", hard_limit=DOLLAR)
    refused = member.post(ASK, _form(of_run))
    assert "ask until a date" in refused.content.decode()
    last = timezone.localdate() + timedelta(days=3)
    member.post(ASK, _form(of_run, until="date", last_day=last.isoformat()))
    assert Approval.objects.get().scope_value == str(team.pk)


def test_each_budget_of_a_policy_is_asked_about_by_itself(
    member: Client, people: People, team: Team
) -> None:
    each = make_policy(name="Each session", scope="session", hard_limit=10 * DOLLAR)
    for team_pk, session in ((team.pk, "north"), (team.pk, "south"), (0, "elsewhere")):
        window = open_window(
            policy_entry(each), WindowKey(each.pk, f"{team_pk}:{session}", _month())
        )
        BudgetWindow.objects.filter(pk=window.pk).update(consumed=DOLLAR)
    page = member.get(ASK).content.decode()
    assert 'value="Each session: session north"' in page
    assert "session south" in page
    assert "elsewhere" not in page
    shown = member.post(ASK, {**_form(each), "policy": "Each session: session south"}, follow=True)
    approval = Approval.objects.get()
    assert approval.scope_value == f"{team.pk}:south"
    assert "more of Each session (session south), until it resets" in shown.content.decode()
    # Only of that one a request is waiting.
    assert member.get(ASK).content.decode().count("A request is waiting") == 1


def test_what_calls_asked_for_is_listed_and_stands_in_nobodys_way(
    member: Client, team: Team, policy: BudgetPolicy
) -> None:
    Approval.objects.create(
        team=team,
        policy=policy,
        amount=DOLLAR,
        scope_value=str(team.pk),
        until="call",
        call_id=new_id(),
        reason="Blocked.",
    )
    page = member.get(LIST).content.decode()
    assert "for this call only" in page
    assert "Asked by Nobody (a call made with a key)" in page
    assert "A request is waiting" not in member.get(ASK).content.decode()


def _month() -> Period:
    return period("month", "UTC", timezone.now())
