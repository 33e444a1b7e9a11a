"""Deciding a request for more budget: once, by somebody else, on the current window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance import approvals, keys
from governance.approvals import ApprovalAlreadyDecided, ApprovalNotAllowed, decide
from governance.models import (
    Approval,
    ApprovalStatus,
    AuditEntry,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    Team,
)
from providers.versioned import current_version
from tests.governance.approvals.dates import DOLLAR, NOW, at_once

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_approving_raises_the_current_window(
    ask: Callable[..., Approval], policy: BudgetPolicy, team: Team, boss: User
) -> None:
    old = BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk),
        starts_at=MARCH - timedelta(days=28),
        ends_at=MARCH,
    )
    decided = decide(
        approval_id=ask().pk, decided_by=boss, approve=True, comment=" Fine. ", now=NOW
    )
    window = BudgetWindow.objects.get(starts_at=MARCH)
    assert (window.ends_at, window.scope_value) == (APRIL, str(team.pk))
    assert window.raised_by == 5 * DOLLAR
    old.refresh_from_db()
    assert old.raised_by == 0
    stored = Approval.objects.get(pk=decided.pk)
    assert stored.status == ApprovalStatus.APPROVED
    assert (stored.decided_by, stored.decided_at, stored.comment) == (boss, NOW, "Fine.")
    assert stored.window == decided.window == window


def test_raises_add_up(ask: Callable[..., Approval], boss: User) -> None:
    for amount in (DOLLAR, 2 * DOLLAR):
        asked = ask(amount=amount)
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    assert BudgetWindow.objects.get().raised_by == 3 * DOLLAR


def test_a_policy_for_everyone_raises_everyones_window(
    ask: Callable[..., Approval], boss: User
) -> None:
    everyone = BudgetPolicy.objects.create(name="All", scope=BudgetScope.GLOBAL, hard_limit=DOLLAR)
    asked = ask(policy=everyone)
    decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    assert BudgetWindow.objects.get().scope_value == ""


def test_denying_raises_nothing(ask: Callable[..., Approval], boss: User) -> None:
    asked = ask()
    decide(approval_id=asked.pk, decided_by=boss, approve=False, comment="Not now.", now=NOW)
    asked.refresh_from_db()
    assert (asked.status, asked.comment) == (ApprovalStatus.DENIED, "Not now.")
    assert not BudgetWindow.objects.exists()


@pytest.mark.parametrize(
    ("until", "approve", "counts"),
    [("call", True, False), ("reset", True, False), ("date", False, False), ("date", True, True)],
)
def test_only_what_lasts_until_a_date_makes_processes_read_anew(
    team: Team, policy: BudgetPolicy, boss: User, *, until: str, approve: bool, counts: bool
) -> None:
    before = current_version()
    asked = Approval.objects.create(
        team=team,
        policy=policy,
        scope_value=str(team.pk),
        amount=DOLLAR,
        until=until,
        call_id=UUID(int=1) if until == "call" else None,
        expires_at=APRIL if until == "date" else None,
        reason="Blocked.",
        requested_at=NOW,
    )
    assert current_version() == before
    decided = decide(approval_id=asked.pk, decided_by=boss, approve=approve, comment="", now=NOW)
    assert (current_version() > before) is counts
    before = current_version()
    decided.delete()
    assert (current_version() > before) is counts


def test_a_decision_locks_the_version_first_and_is_in_the_audit_trail(
    ask: Callable[..., Approval], boss: User
) -> None:
    asked = ask(until="date", expires_at=APRIL)
    with CaptureQueriesContext(connection) as queries:
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert "snapshotversion" in updates[0]
    entry = AuditEntry.objects.filter(object_id=str(asked.pk)).latest("pk")
    assert (entry.action, entry.changes["status"]) == ("changed", ["pending", "approved"])


def test_a_second_decision_is_refused(ask: Callable[..., Approval], boss: User) -> None:
    asked = ask()
    other = User.objects.create_superuser("other")
    decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    with pytest.raises(ApprovalAlreadyDecided):
        decide(approval_id=asked.pk, decided_by=other, approve=True, comment="Again", now=NOW)
    asked.refresh_from_db()
    assert (asked.decided_by, asked.comment) == (boss, "")
    assert BudgetWindow.objects.get().raised_by == 5 * DOLLAR


def test_nobody_decides_their_own_request(ask: Callable[..., Approval], boss: User) -> None:
    asked = ask(requested_by=boss)
    with pytest.raises(ApprovalNotAllowed, match="own request"):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    still_waits(asked)


def test_nobody_decides_what_their_own_key_asked_for(
    team: Team, policy: BudgetPolicy, boss: User
) -> None:
    key = keys.create(team=team, name="own", created_by=boss).record
    asked = Approval.objects.create(
        team=team,
        policy=policy,
        scope_value=str(team.pk),
        amount=DOLLAR,
        until="call",
        call_id=UUID(int=1),
        api_key=key,
        reason="Blocked.",
        requested_at=NOW,
    )
    with pytest.raises(ApprovalNotAllowed, match="your key's"):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    still_waits(asked)
    other = User.objects.create_superuser("other")
    decided = decide(approval_id=asked.pk, decided_by=other, approve=True, comment="", now=NOW)
    assert decided.status == ApprovalStatus.APPROVED


def test_deciding_takes_the_permission(ask: Callable[..., Approval]) -> None:
    asked = ask()
    clerk = User.objects.create_user("clerk", is_staff=True)
    with pytest.raises(ApprovalNotAllowed, match="permission"):
        decide(approval_id=asked.pk, decided_by=clerk, approve=True, comment="", now=NOW)
    still_waits(asked)
    clerk.user_permissions.add(Permission.objects.get(codename="decide_approval"))
    allowed = User.objects.get(pk=clerk.pk)
    decide(approval_id=asked.pk, decided_by=allowed, approve=True, comment="", now=NOW)
    assert BudgetWindow.objects.get().raised_by == 5 * DOLLAR


def test_someone_inactive_decides_nothing(ask: Callable[..., Approval], boss: User) -> None:
    boss.is_active = False
    asked = ask()
    with pytest.raises(ApprovalNotAllowed):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    still_waits(asked)


@pytest.mark.parametrize("change", [{"enabled": False}, {"hard_limit": None, "soft_limit": DOLLAR}])
def test_what_cannot_be_raised_any_more_can_only_be_denied(
    ask: Callable[..., Approval], policy: BudgetPolicy, boss: User, change: dict[str, Any]
) -> None:
    asked = ask()
    BudgetPolicy.objects.filter(pk=policy.pk).update(**change)
    with pytest.raises(ApprovalNotAllowed, match="Deny the request instead"):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    still_waits(asked)
    decide(approval_id=asked.pk, decided_by=boss, approve=False, comment="", now=NOW)
    assert not BudgetWindow.objects.exists()


@pytest.mark.parametrize("change", [{"enabled": False}, {"hard_limit": None, "soft_limit": DOLLAR}])
def test_a_call_is_let_through_a_budget_that_stops_nothing_any_more(
    team: Team, policy: BudgetPolicy, boss: User, change: dict[str, Any]
) -> None:
    asked = Approval.objects.create(
        team=team,
        policy=policy,
        scope_value=str(team.pk),
        amount=DOLLAR,
        until="call",
        call_id=UUID(int=1),
        reason="Blocked.",
        requested_at=NOW,
    )
    BudgetPolicy.objects.filter(pk=policy.pk).update(**change)
    decided = decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    assert decided.status == ApprovalStatus.APPROVED
    assert not BudgetWindow.objects.exists()


def test_a_limit_cannot_be_raised_past_what_is_stored(
    ask: Callable[..., Approval], policy: BudgetPolicy, boss: User
) -> None:
    largest = approvals.LARGEST_LIMIT - 10 * DOLLAR
    first = ask(amount=largest)
    decide(approval_id=first.pk, decided_by=boss, approve=True, comment="", now=NOW)
    second = ask(amount=1)
    with pytest.raises(ApprovalNotAllowed, match="larger than can be stored"):
        decide(approval_id=second.pk, decided_by=boss, approve=True, comment="", now=NOW)
    still_waits(second)
    assert BudgetWindow.objects.get().raised_by == largest


def test_a_comment_too_long_decides_nothing(ask: Callable[..., Approval], boss: User) -> None:
    asked = ask()
    with pytest.raises(ValidationError) as refusal:
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="x" * 501, now=NOW)
    assert list(refusal.value.message_dict) == ["comment"]
    still_waits(asked)


def still_waits(asked: Approval) -> None:
    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.PENDING
    assert asked.decided_by is None
    assert not BudgetWindow.objects.filter(raised_by__gt=0, approvals=asked).exists()


@pytest.mark.django_db(transaction=True)
def test_of_decisions_at_once_one_counts(ask: Callable[..., Approval]) -> None:
    asked = ask()
    judges = [User.objects.create_superuser(f"judge-{number}") for number in range(6)]

    def judge(number: int) -> str:
        try:
            decide(
                approval_id=asked.pk,
                decided_by=judges[number],
                approve=number % 2 == 0,
                comment=str(number),
                now=NOW,
            )
        except ApprovalAlreadyDecided:
            return "late"
        return str(number)

    said = at_once(judge, len(judges))
    assert sorted(said)[1:] == ["late"] * 5
    winner = next(number for number in said if number != "late")
    asked.refresh_from_db()
    assert asked.comment == winner
    raised = sum(window.raised_by for window in BudgetWindow.objects.all())
    assert raised == (5 * DOLLAR if int(winner) % 2 == 0 else 0)
