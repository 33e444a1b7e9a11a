"""Asking for more budget and deciding it: once, by somebody else, on the current window."""

from __future__ import annotations

import threading
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
from governance.approvals import ApprovalAlreadyDecided, ApprovalNotAllowed, decide, request_more
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

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
DOLLAR = 10**9

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team.objects.create(slug="blue", name="Blue")


@pytest.fixture
def policy(team: Team) -> BudgetPolicy:
    return BudgetPolicy.objects.create(name="Blue monthly", team=team, hard_limit=10 * DOLLAR)


@pytest.fixture
def member() -> User:
    return User.objects.create_user("member")


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def ask(team: Team, policy: BudgetPolicy, member: User) -> Callable[..., Approval]:
    def send(**changes: Any) -> Approval:
        asked: dict[str, Any] = {
            "team": team,
            "policy": policy,
            "requested_by": member,
            "amount": 5 * DOLLAR,
            "reason": "Quarter end.",
            "now": NOW,
        }
        return request_more(**asked | changes)

    return send


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
    _still_waits(asked)


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
    _still_waits(asked)
    other = User.objects.create_superuser("other")
    decided = decide(approval_id=asked.pk, decided_by=other, approve=True, comment="", now=NOW)
    assert decided.status == ApprovalStatus.APPROVED


def test_deciding_takes_the_permission(ask: Callable[..., Approval]) -> None:
    asked = ask()
    clerk = User.objects.create_user("clerk", is_staff=True)
    with pytest.raises(ApprovalNotAllowed, match="permission"):
        decide(approval_id=asked.pk, decided_by=clerk, approve=True, comment="", now=NOW)
    _still_waits(asked)
    clerk.user_permissions.add(Permission.objects.get(codename="decide_approval"))
    allowed = User.objects.get(pk=clerk.pk)
    decide(approval_id=asked.pk, decided_by=allowed, approve=True, comment="", now=NOW)
    assert BudgetWindow.objects.get().raised_by == 5 * DOLLAR


def test_someone_inactive_decides_nothing(ask: Callable[..., Approval], boss: User) -> None:
    boss.is_active = False
    asked = ask()
    with pytest.raises(ApprovalNotAllowed):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    _still_waits(asked)


@pytest.mark.parametrize("change", [{"enabled": False}, {"hard_limit": None, "soft_limit": DOLLAR}])
def test_what_cannot_be_raised_any_more_can_only_be_denied(
    ask: Callable[..., Approval], policy: BudgetPolicy, boss: User, change: dict[str, Any]
) -> None:
    asked = ask()
    BudgetPolicy.objects.filter(pk=policy.pk).update(**change)
    with pytest.raises(ApprovalNotAllowed, match="Deny the request instead"):
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="", now=NOW)
    _still_waits(asked)
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


def test_a_limit_cannot_be_raised_past_what_is_stored(
    ask: Callable[..., Approval], policy: BudgetPolicy, boss: User
) -> None:
    largest = approvals.LARGEST_LIMIT - 10 * DOLLAR
    first = ask(amount=largest)
    decide(approval_id=first.pk, decided_by=boss, approve=True, comment="", now=NOW)
    second = ask(amount=1)
    with pytest.raises(ApprovalNotAllowed, match="larger than can be stored"):
        decide(approval_id=second.pk, decided_by=boss, approve=True, comment="", now=NOW)
    _still_waits(second)
    assert BudgetWindow.objects.get().raised_by == largest


def test_a_comment_too_long_decides_nothing(ask: Callable[..., Approval], boss: User) -> None:
    asked = ask()
    with pytest.raises(ValidationError) as refusal:
        decide(approval_id=asked.pk, decided_by=boss, approve=True, comment="x" * 501, now=NOW)
    assert list(refusal.value.message_dict) == ["comment"]
    _still_waits(asked)


def _still_waits(asked: Approval) -> None:
    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.PENDING
    assert asked.decided_by is None
    assert not BudgetWindow.objects.filter(raised_by__gt=0, approvals=asked).exists()


def _at_once(work: Callable[[int], str], times: int) -> list[str]:
    """What `work` returned in as many threads, each with a connection of its own."""
    start = threading.Barrier(times)
    said: list[str] = []

    def run(number: int) -> None:
        start.wait()
        try:
            said.append(work(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


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

    said = _at_once(judge, len(judges))
    assert sorted(said)[1:] == ["late"] * 5
    winner = next(number for number in said if number != "late")
    asked.refresh_from_db()
    assert asked.comment == winner
    raised = sum(window.raised_by for window in BudgetWindow.objects.all())
    assert raised == (5 * DOLLAR if int(winner) % 2 == 0 else 0)


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_once_one_waits(ask: Callable[..., Approval]) -> None:
    def send(number: int) -> str:
        try:
            ask(reason=f"Thread {number}")
        except ValidationError as refusal:
            return refusal.messages[0]
        return "asked"

    said = _at_once(send, 5)
    assert said.count("asked") == 1
    assert all("already waiting" in words for words in said if words != "asked")
    assert Approval.objects.count() == 1
