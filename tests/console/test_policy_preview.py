"""Beside a policy's form: where it would stand, as it is being written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import BudgetPolicy, BudgetWindow, ModelCall
from governance.windows import period
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.console.spent import DOLLAR, spent
from tests.support.factories import make_policy, make_team

PREVIEW = "admin:governance_budgetpolicy_preview"


def written(**fields: Any) -> dict[str, Any]:
    return {
        "scope": "team",
        "team": "",
        "value": "",
        "metric": "cost",
        "interval": "total",
        "zone": "UTC",
        "soft_limit": "",
        "hard_limit": "",
        "action": "block",
        "thresholds": "50, 75",
        **fields,
    }


def said(browser: Client, **fields: Any) -> str:
    response = browser.get(reverse(PREVIEW), written(**fields))
    assert response.status_code == 200
    return text_of(response.content.decode())


def test_the_preview_says_where_the_policy_would_stand(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, 4 * DOLLAR)

    text = said(browser, team=str(team.pk), hard_limit="5")

    assert "Blue would now stand at 80 %." in text
    assert "$4.00 consumed of $5.00" in text
    assert "Calls are blocked at $5.00." in text
    assert "It never resets." in text
    assert "50 and 75 % of it are reached: an alert is raised for each." in text


def test_the_preview_says_what_is_exceeded_already(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, 4 * DOLLAR)

    text = said(browser, team=str(team.pk), hard_limit="3", interval="month")

    assert "Already exceeded: $4.00 are spoken for." in text
    assert "At hard limit" in text


def test_the_preview_has_the_tightest_first_and_counts_the_rest(browser: Client) -> None:
    for number in range(7):
        spent(make_team(name=f"Team number {number}"), (number + 1) * DOLLAR)

    text = said(browser, hard_limit="4")

    assert "Team number 6 would now stand at 175 %." in text
    assert "and 2 more" in text
    assert "The tightest of 7; 4 at the limit." in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"metric": "tokens", "hard_limit": "300"}, "150 tokens consumed of 300 tokens"),
        ({"metric": "input_tokens", "hard_limit": "300"}, "100 input tokens consumed"),
        ({"metric": "output_tokens", "hard_limit": "300"}, "50 output tokens consumed"),
        ({"metric": "requests", "hard_limit": "4"}, "1 request consumed of 4 requests"),
        ({"scope": "global", "hard_limit": "4"}, "Everyone together would now stand at 50 %."),
        ({"scope": "provider", "hard_limit": "4"}, "Openai would now stand at 50 %."),
        ({"scope": "model", "hard_limit": "4"}, "Openai/gpt would now stand at 50 %."),
        ({"scope": "session", "hard_limit": "4"}, "Session chat would now stand at 50 %."),
        ({"scope": "user", "hard_limit": "4"}, "Pat would now stand at 50 %."),
        ({"scope": "job", "hard_limit": "4"}, "No scheduled job has used anything"),
        ({"interval": "run", "hard_limit": "4"}, "Each run begins with nothing used of it."),
        ({"interval": "day", "rolling": "on", "hard_limit": "4"}, "It rolls"),
        ({"soft_limit": "1"}, "Already past the soft limit"),
        ({"soft_limit": "3"}, "It warns from $3.00. It never stops a call."),
        ({"action": "approval", "hard_limit": "4"}, "Past $4.00 calls need approval."),
        ({"action": "alert", "hard_limit": "4"}, "Past $4.00 calls still go through"),
        ({"hard_limit": "-1"}, "A limit cannot be negative."),
        ({"hard_limit": "ten"}, "Enter a number."),
        ({"hard_limit": "1", "zone": "Nowhere"}, "is not a time zone"),
        ({}, "shown here as the limits are written"),
    ],
)
def test_the_preview_of_every_kind_of_limit(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    person = User.objects.create_user("pat")
    spent(make_team(), 2 * DOLLAR, session="chat", user=person)

    assert says.lower() in said(browser, **fields).lower()


def test_the_preview_tells_when_a_budget_runs_out() -> None:
    from governance.policy_preview import sentences  # noqa: PLC0415
    from governance.standing import Standing  # noqa: PLC0415

    policy = BudgetPolicy(name="p", metric="cost", interval="month", hard_limit=10 * DOLLAR)
    now = datetime.fromisoformat("2026-03-11T00:00:00+00:00")
    window = period("month", "UTC", now)

    def standing(consumed: int) -> Standing:
        return Standing(
            policy=policy,
            team=None,
            scope_value="",
            whose="everyone together",
            starts_at=window.starts_at,
            resets_at=window.ends_at,
            consumed=consumed,
        )

    assert "At this pace it runs out 21 Mar 2026, 00:00 UTC." in sentences(
        standing(5 * DOLLAR), now
    )
    assert "At this pace it comes to $6.20 by then, 62 %." in sentences(standing(2 * DOLLAR), now)


def test_of_a_session_only_what_is_in_the_window_counts(browser: Client) -> None:
    team, now = make_team(), timezone.now()
    spent(team, 5 * DOLLAR, now - timedelta(days=400), session="old")
    spent(team, DOLLAR, now, session="old")
    spent(team, DOLLAR // 2, now, session="new")

    text = said(browser, scope="session", interval="day", rolling="on", hard_limit="4")
    assert "Session old would now stand at 25 %." in text
    assert "Session new: 12 %" in text
    in_total = said(browser, scope="session", hard_limit="4")
    assert "Session old would now stand at 150 %." in in_total


def test_what_calls_under_way_hold_counts(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, DOLLAR)
    ModelCall.objects.create(
        team=team,
        surface="openai",
        task_class="primary_interactive",
        status="in_flight",
        owner=UUID(int=1),
        expires_at=timezone.now(),
        admitted_at=timezone.now(),
        estimate_upper=2 * DOLLAR,
        token_bound=70,
        output_bound=30,
    )

    assert "$1.00 consumed, $2.00 held of $4.00" in said(browser, hard_limit="4")
    assert "100 input tokens consumed, 40 input tokens held" in said(
        browser, metric="input_tokens", hard_limit="400"
    )
    assert "1 request consumed, 1 request held" in said(
        browser, metric="requests", scope="global", hard_limit="4"
    )
    other = make_team(name="Other")
    assert "Other would now stand at 0 %" in said(browser, team=str(other.pk), hard_limit="4")


def test_a_stored_policys_preview_has_what_was_approved(browser: Client) -> None:
    team = make_team(name="Blue")
    policy = make_policy(team=team, interval="total", hard_limit=5 * DOLLAR)
    spent(team, 4 * DOLLAR)
    BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk),
        starts_at="1970-01-01T00:00Z",
        consumed=4 * DOLLAR,
        raised_by=3 * DOLLAR,
    )

    response = browser.get(
        reverse(PREVIEW), {"policy": str(policy.pk), "hard_limit": "5", "action": "block"}
    )

    assert "would now stand at 50 %" in text_of(response.content.decode())


def test_the_preview_is_for_those_who_may_write(seeded: Any) -> None:
    policy = make_policy()
    changer = signed_in(staff("changer", "governance.change_budgetpolicy"))

    assert changer.get(reverse(PREVIEW), written(hard_limit="1")).status_code == 403
    assert changer.get(reverse(PREVIEW), {"policy": policy.pk}).status_code == 200
    assert signed_in(seeded.viewer).get(reverse(PREVIEW)).status_code == 403


def test_the_preview_takes_no_more_queries_for_more_teams(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        spent(make_team(), DOLLAR)

    with django_assert_max_num_queries(14):
        said(browser, hard_limit="4", interval="month")
