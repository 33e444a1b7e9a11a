"""A policy's page: the past windows, what raises it; and policies in their list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Approval, AuditEntry, BudgetPolicy, BudgetWindow, Team
from governance.windows import period
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.console.spent import DOLLAR, spent
from tests.support.factories import make_policy, make_team

LIST = "admin:governance_budgetpolicy_changelist"


def test_past_windows_are_a_chart_and_a_table(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    team = make_team(name="Blue", zone="UTC")
    policy = make_policy(team=team, interval="month", hard_limit=10 * DOLLAR)
    now = period("month", "UTC", timezone.now())
    before = period("month", "UTC", now.starts_at - timedelta(days=1))
    for when, consumed in ((now, 5), (before, 8)):
        BudgetWindow.objects.create(
            policy=policy,
            scope_value=str(team.pk),
            starts_at=when.starts_at,
            ends_at=when.ends_at,
            consumed=consumed * DOLLAR,
            raised_by=DOLLAR if when == before else 0,
        )
    long_ago = period("month", "UTC", before.starts_at - timedelta(days=1))
    spent(team, 7 * DOLLAR, long_ago.starts_at + timedelta(days=3))

    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])
    with django_assert_max_num_queries(34):
        html = browser.get(page).content.decode()

    text = text_of(html)
    assert "$5.00 – $10.00 50 %" in text
    assert "$8.00 – $11.00 72 %" in text
    # The policy was not there yet.
    assert "$7.00 – $10.00 70 %" in text
    assert "what it would have counted" in text
    assert 'class="chart"' in html


def _approved(policy: BudgetPolicy, team: Team, **fields: Any) -> Approval:
    values: dict[str, Any] = {
        "team": team,
        "policy": policy,
        "scope_value": str(team.pk),
        "amount": 2 * DOLLAR,
        "until": "date",
        "expires_at": timezone.now() + timedelta(days=1),
        "status": "approved",
    }
    return Approval.objects.create(**{**values, **fields})


def test_what_raises_a_limit_is_shown_and_ended(browser: Client) -> None:
    team = make_team(name="Blue")
    policy = make_policy(team=team, interval="total", hard_limit=10 * DOLLAR)
    window = BudgetWindow.objects.create(
        policy=policy, scope_value=str(team.pk), starts_at="1970-01-01T00:00Z", raised_by=7
    )
    for_a_date = _approved(policy, team)
    until_reset = _approved(policy, team, until="reset", expires_at=None, window=window, amount=7)
    over = _approved(policy, team, expires_at=timezone.now() - timedelta(days=1))
    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])

    html = browser.get(page).content.decode()
    for approval, is_shown in ((for_a_date, True), (until_reset, True), (over, False)):
        do = reverse("admin:governance_approval_do", args=[approval.pk, "end"])
        assert (do in html) is is_shown
        browser.post(do)

    for_a_date.refresh_from_db()
    until_reset.refresh_from_db()
    over.refresh_from_db()
    window.refresh_from_db()
    assert for_a_date.ended_at is not None
    assert for_a_date.expires_at == for_a_date.ended_at
    assert until_reset.ended_by is not None
    assert over.ended_at is None
    assert window.raised_by == 0
    assert "Raised on request" not in browser.get(page).content.decode()
    assert AuditEntry.objects.filter(object_id=str(for_a_date.pk), action="changed").exists()


@pytest.mark.parametrize(
    ("permission", "sees"), [("view_budgetpolicy", False), ("view_approval", True)]
)
def test_what_raises_a_limit_is_for_those_who_may_see_requests(
    db: None, permission: str, sees: bool
) -> None:
    team = make_team()
    policy = make_policy(team=team)
    asked_by = User.objects.create_user("mira")
    _approved(policy, team, requested_by=asked_by)
    looker = staff("looker", "governance.view_budgetpolicy", f"governance.{permission}")

    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])
    html = signed_in(looker).get(page).content.decode()

    assert ("Raised on request" in html, "mira" in html) == (sees, sees)


def test_an_ended_raise_is_ended_once(browser: Client) -> None:
    team = make_team()
    policy = make_policy(team=team, interval="total")
    window = BudgetWindow.objects.create(
        policy=policy, scope_value=str(team.pk), starts_at="1970-01-01T00:00Z", raised_by=20
    )
    approval = _approved(policy, team, until="reset", expires_at=None, window=window, amount=7)
    do = reverse("admin:governance_approval_do", args=[approval.pk, "end"])

    browser.post(do)
    answer = browser.post(do, follow=True)

    window.refresh_from_db()
    assert window.raised_by == 13
    assert "no longer applies" in text_of(answer.content.decode())


def test_policies_are_switched_in_bulk_with_their_count(browser: Client) -> None:
    on, off = make_policy(), make_policy(enabled=False)
    chosen = {"_selected_action": [on.pk, off.pk]}

    answer = browser.post(reverse(LIST), {"action": "disable_selected", **chosen}, follow=True)
    assert "1 policy is disabled now; 1 was already." in text_of(answer.content.decode())
    assert not BudgetPolicy.objects.filter(enabled=True).exists()

    answer = browser.post(reverse(LIST), {"action": "enable_selected", **chosen}, follow=True)
    assert "2 policies are enabled now." in text_of(answer.content.decode())
    assert BudgetPolicy.objects.filter(enabled=True).count() == 2


def test_odd_names_of_whose_windows_to_show_break_nothing(browser: Client) -> None:
    policy = make_policy()
    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])

    for whose in ("9" * 400, "nobody/at/all"):
        assert browser.get(page, {"whose": whose}).status_code == 200


def test_odd_kinds_of_events_filter_nothing(browser: Client) -> None:
    deliveries = reverse("admin:governance_delivery_changelist")

    assert browser.get(deliveries, {"event": "run."}).status_code == 200
    assert browser.get(deliveries, {"event": "a" * 400}).status_code in {200, 302}
