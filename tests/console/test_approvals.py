"""Requests for more budget, decided in the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance import approvals
from governance.models import (
    Approval,
    ApprovalStatus,
    BudgetPolicy,
    BudgetWindow,
    KeptCall,
    ModelCall,
    Team,
)
from governance.snapshot import load_overrides
from governance.windows import period
from tests.console.conftest import signed_in, staff
from tests.console.pages import links_of, text_of
from tests.support.factories import make_policy, make_team

DOLLAR = 10**9
LIST = "admin:governance_approval_changelist"


@pytest.fixture
def team(db: None) -> Team:
    return make_team(name="Blue")


@pytest.fixture
def policy(team: Team) -> BudgetPolicy:
    return make_policy(name="Blue, a month", team=team, hard_limit=10 * DOLLAR)


def _ask(team: Team, policy: BudgetPolicy, by: User, reason: str = "The launch.") -> Approval:
    return approvals.request_more(
        team=team,
        policy=policy,
        requested_by=by,
        amount=5 * DOLLAR,
        reason=reason,
        now=timezone.now(),
    )


@pytest.fixture
def asked(team: Team, policy: BudgetPolicy) -> Approval:
    return _ask(team, policy, User.objects.create_user("mira"))


def _do(asked: Approval, action: str) -> str:
    return reverse("admin:governance_approval_do", args=[asked.pk, action])


def _page(asked: Approval) -> str:
    return reverse("admin:governance_approval_change", args=[asked.pk])


def test_approving_raises_the_limit_until_it_resets(
    browser: Client, administrator: User, asked: Approval
) -> None:
    said = browser.post(_do(asked, "approve"), {"approve-comment": "Go on."}, follow=True)

    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.APPROVED
    assert (asked.decided_by, asked.comment) == (administrator, "Go on.")
    assert BudgetWindow.objects.get().raised_by == 5 * DOLLAR
    text = text_of(said.content.decode())
    assert "Approved: Blue has $5.00 more of “Blue, a month”." in text
    assert "by root" in text


def test_denying_leaves_the_limit(browser: Client, asked: Approval) -> None:
    browser.post(_do(asked, "deny"), {"deny-comment": "Not this month."})

    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.DENIED
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()


def test_a_request_is_decided_once(browser: Client, asked: Approval) -> None:
    browser.post(_do(asked, "deny"), {})

    again = browser.post(_do(asked, "approve"), {}, follow=True)

    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.DENIED
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()
    assert "no longer applies" in text_of(again.content.decode())


def test_nobody_decides_their_own(
    browser: Client, administrator: User, team: Team, policy: BudgetPolicy
) -> None:
    own = _ask(team, policy, administrator)

    page = browser.get(_page(own)).content.decode()
    refused = browser.post(_do(own, "approve"), {})

    assert refused.status_code == 403
    assert _do(own, "approve") not in page
    assert "This is your own request, or your key's; somebody else has to decide it." in text_of(
        page
    )
    own.refresh_from_db()
    assert own.status == ApprovalStatus.PENDING


@pytest.mark.parametrize("action", ["approve", "deny"])
def test_deciding_takes_its_permission(asked: Approval, action: str) -> None:
    looker = signed_in(staff("looker", "governance.view_approval", "governance.change_approval"))

    assert _do(asked, action) not in looker.get(_page(asked)).content.decode()
    assert looker.post(_do(asked, action), {}).status_code == 403
    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.PENDING


def test_whoever_may_decide_and_look_decides(asked: Approval) -> None:
    decider = staff("decider", "governance.view_approval", "governance.decide_approval")

    signed_in(decider).post(_do(asked, "approve"), {})

    asked.refresh_from_db()
    assert asked.decided_by == decider


def test_a_comment_that_is_too_long_changes_nothing(browser: Client, asked: Approval) -> None:
    said = browser.post(_do(asked, "approve"), {"approve-comment": "x" * 501}, follow=True)

    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.PENDING
    assert "Comment: Ensure this value has at most 500 characters" in text_of(said.content.decode())


def test_a_budget_that_is_gone_is_said(
    browser: Client, asked: Approval, policy: BudgetPolicy
) -> None:
    BudgetPolicy.objects.filter(pk=policy.pk).update(enabled=False)

    said = browser.post(_do(asked, "approve"), {}, follow=True)

    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.PENDING
    assert "Deny the request instead." in text_of(said.content.decode())


def test_the_page_shows_what_the_decision_needs(browser: Client, asked: Approval) -> None:
    text = text_of(browser.get(_page(asked)).content.decode())

    for part in ("$5.00", "The launch.", "mira", "of $10.00", "$15.00", "There are none"):
        assert part in text, part


def test_the_page_shows_no_window_of_another(browser: Client) -> None:
    blue, red = make_team(name="Blue"), make_team(name="Red")
    each = make_policy(name="Each team", team=None, interval="month", hard_limit=10 * DOLLAR)
    now = period("month", each.zone, timezone.now())
    window = BudgetWindow.objects.create(
        policy=each,
        scope_value=str(red.pk),
        starts_at=now.starts_at,
        ends_at=now.ends_at,
        consumed=7_770_000_000,
    )
    own = _ask(blue, each, User.objects.create_user("mira"))

    text = text_of(browser.get(_page(own)).content.decode())
    assert "Windows so far: Blue" in text
    assert "There is no window yet" in text
    assert "$7.77" not in text

    BudgetWindow.objects.filter(pk=window.pk).update(scope_value=str(blue.pk))
    assert "$7.77" in text_of(browser.get(_page(own)).content.decode())


def test_what_waits_comes_first_and_is_counted(
    browser: Client, team: Team, asked: Approval
) -> None:
    person = User.objects.get(username="mira")
    for number in range(2):
        decided = _ask(team, make_policy(team=team), person, f"Decided {number}")
        browser.post(_do(decided, "deny"), {})

    html = browser.get(reverse(LIST)).content.decode()

    assert html.index("Pending</span>") < html.index("Denied</span>")
    assert _entry(browser)["badge"] == "1"

    browser.post(_do(asked, "deny"), {})

    assert "badge" not in _entry(browser)


def test_until_a_date_is_said_and_raises_no_window(
    browser: Client, team: Team, policy: BudgetPolicy
) -> None:
    ends = timezone.now().replace(hour=12, minute=0, second=0) + timedelta(days=30)
    asked = approvals.request_more(
        team=team,
        policy=policy,
        requested_by=User.objects.create_user("mira"),
        amount=5 * DOLLAR,
        reason="The launch.",
        now=timezone.now(),
        until="date",
        expires_at=ends,
    )

    text = text_of(browser.get(_page(asked)).content.decode())
    browser.post(_do(asked, "approve"), {})

    day = f"until {ends.day} {ends:%b %Y}, 12:00 UTC"
    assert f"Raises the limit of “Blue, a month” for Blue by $5.00 {day}; then" in text
    assert f"U{day[1:]}" in text
    asked.refresh_from_db()
    assert asked.status == ApprovalStatus.APPROVED
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()
    assert [one.amount for one in load_overrides()[policy.pk]] == [5 * DOLLAR]


def _asked_by_a_call(team: Team, policy: BudgetPolicy) -> Approval:
    call: ModelCall = ModelCall.objects.create(
        team=team,
        surface="openai",
        task_class="primary_interactive",
        requested_model="m",
        provider="p",
        model="m",
        status="waiting",
        admitted_at=timezone.now(),
    )
    made: Approval = Approval.objects.create(
        team=team,
        policy=policy,
        amount=5 * DOLLAR,
        scope_value=str(team.pk),
        until="call",
        call_id=call.pk,
        reason="“Blue, a month” allows $10.00 without approval.",
    )
    return made


def test_what_a_call_asked_for_says_which_call_and_what_approving_does(
    browser: Client, team: Team, policy: BudgetPolicy
) -> None:
    asked = _asked_by_a_call(team, policy)
    html = browser.get(_page(asked)).content.decode()
    text = text_of(html)

    assert reverse("admin:governance_modelcall_change", args=[asked.call_id]) in html
    assert "Nobody (a call made with a key)" in text
    assert "For this call only" in text
    assert "Lets one call take “Blue, a month” past its limit, by $5.00 at most" in text
    assert "may repeat the call with this request's identifier, once" in text
    assert "It waits for this" not in text

    said = browser.post(_do(asked, "approve"), {}, follow=True)

    assert "Approved: one call may take “Blue, a month” past its limit." in text_of(
        said.content.decode()
    )
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()


def test_a_call_that_waits_for_it_is_said_to(
    browser: Client, team: Team, policy: BudgetPolicy
) -> None:
    asked = _asked_by_a_call(team, policy)
    assert asked.call_id is not None
    KeptCall.objects.create(
        id=asked.call_id, team=team, request={}, expires_at=timezone.now() + timedelta(days=7)
    )

    text = text_of(browser.get(_page(asked)).content.decode())

    assert "It waits for this" in text
    assert "The call waits and is made at once" in text
    assert "The call that waits is not made" in text


def _entry(browser: Client) -> dict[str, Any]:
    groups = browser.get(reverse("admin:index")).context["sidebar_navigation"]
    entries = [entry for group in groups for entry in group["items"]]
    found: dict[str, Any] = next(entry for entry in entries if entry["title"] == "Approvals")
    return found


def _blocked(team: Team, policy: BudgetPolicy) -> Approval:
    """A request that a blocked call made for itself, with somebody's key."""
    call = ModelCall.objects.create(
        team=team,
        surface="openai",
        task_class="primary_interactive",
        status="blocked",
        admitted_at=timezone.now(),
    )
    return Approval.objects.create(
        team=team,
        policy=policy,
        scope_value=str(team.pk),
        amount=3 * DOLLAR,
        until="call",
        call_id=call.pk,
        reason="It was blocked.",
    )


def test_a_blocked_call_is_approved_once_or_until_the_window_resets(
    browser: Client, team: Team, policy: BudgetPolicy
) -> None:
    once, longer = _blocked(team, policy), _blocked(team, policy)
    page = reverse("admin:governance_approval_change", args=[once.pk])
    assert 'name="approve-until"' in browser.get(page).content.decode()

    browser.post(_do(once, "approve"), {"approve-until": "call"})
    assert not BudgetWindow.objects.filter(raised_by__gt=0).exists()
    browser.post(_do(longer, "approve"), {"approve-until": "reset"})

    once.refresh_from_db()
    longer.refresh_from_db()
    assert (once.status, once.until) == ("approved", "call")
    assert (longer.status, longer.until) == ("approved", "reset")
    assert BudgetWindow.objects.get(raised_by=3 * DOLLAR) == longer.window


def test_a_request_for_a_window_has_no_such_choice(browser: Client, asked: Approval) -> None:
    page = reverse("admin:governance_approval_change", args=[asked.pk])
    html = browser.get(page).content.decode()

    assert "approve-until" not in html
    assert "Windows so far" in html
    browser.post(_do(asked, "approve"), {"approve-until": "call"})
    asked.refresh_from_db()
    assert (asked.status, asked.until) == ("approved", "reset")


@pytest.mark.parametrize("until", ["date", "ever"])
def test_a_call_is_not_approved_for_what_nobody_offered(
    browser: Client, team: Team, policy: BudgetPolicy, until: str
) -> None:
    asked = _blocked(team, policy)

    browser.post(_do(asked, "approve"), {"approve-until": until})

    asked.refresh_from_db()
    assert asked.status == "pending"


def test_a_run_has_no_window_that_resets(browser: Client, team: Team) -> None:
    by_run = make_policy(team=team, interval="run")
    asked = _blocked(team, by_run)

    answer = browser.post(_do(asked, "approve"), {"approve-until": "reset"}, follow=True)

    asked.refresh_from_db()
    assert asked.status == "pending"
    assert "approve it for the call only" in text_of(answer.content.decode())


def test_a_request_leads_to_its_policy(browser: Client, asked: Approval) -> None:
    links = links_of(browser.get(_page(asked)).content.decode())

    address = reverse("admin:governance_budgetpolicy_change", args=[asked.policy_id])
    assert links == [("The policy", address)]
