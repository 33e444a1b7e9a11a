"""The first page: what it counts, for whom, and at what price in queries."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from governance.approval_words import A_KEY
from governance.models import Approval, CallStatus, ModelCall, Surface, TaskClass
from governance.money import dollars_text
from governance.usage import DayUsage
from palyra_site.console import spending
from palyra_site.console.spending import OTHERS, compared, draw
from tests.browser.seed import Seeded, seed
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.support.factories import make_model, make_policy, make_provider, make_team
from tests.support.ledger_rows import add_up

OVERVIEW = "/admin/"
# Signing in, the session and the badge included; the same for a little and for a lot.
MOST_QUERIES = 44
DOLLAR = 10**9


def _call(team: Any, at: datetime, **fields: Any) -> ModelCall:
    plain = {
        "surface": Surface.OPENAI,
        "task_class": TaskClass.PRIMARY_INTERACTIVE,
        "requested_model": "large",
        "provider": "host",
        "model": "large",
        "status": CallStatus.SUCCEEDED,
        "cost": DOLLAR,
    }
    call = ModelCall.objects.create(team=team, admitted_at=at, **{**plain, **fields})
    add_up([call])
    return call


def _figures(browser: Client) -> dict[str, spending.Figure]:
    return {figure.name: figure for figure in browser.get(OVERVIEW).context["figures"]}


def test_a_bounded_number_of_queries_whatever_the_rows(
    browser: Client, administrator: User, django_assert_max_num_queries: Any
) -> None:
    seed(calls_made=20)
    with django_assert_max_num_queries(MOST_QUERIES):
        browser.get(OVERVIEW)

    now = timezone.now()
    for number in range(40):
        team = make_team()
        policy = make_policy(team=team)
        make_model(provider=make_provider(name=f"host-{number}"))
        _call(team, now - timedelta(minutes=number), provider=f"host-{number}", status="failed")
        Approval.objects.create(
            team=team, policy=policy, amount=1, reason="More.", requested_by=administrator
        )

    with django_assert_max_num_queries(MOST_QUERIES):
        browser.get(OVERVIEW)


def test_of_a_request_is_said_who_asked(browser: Client, administrator: User) -> None:
    for asking in (administrator, None):
        team = make_team()
        policy = make_policy(team=team)
        Approval.objects.create(
            team=team, policy=policy, amount=1, reason="More.", requested_by=asking
        )
    said = text_of(browser.get(OVERVIEW).content.decode())
    assert f"More. {administrator.username}, " in said
    assert f"More. {A_KEY}, " in said
    assert "None, " not in said


def test_every_number_leads_to_the_list_it_counts(seeded: Seeded, browser: Client) -> None:
    now = timezone.now()
    for status in ("failed", "unconfirmed", "failed"):
        _call(seeded.teams[0], now - timedelta(seconds=1), status=status, cost=0)
    figures = _figures(browser)

    def counted(name: str) -> int:
        return int(browser.get(figures[name].address).context["cl"].result_count)

    assert counted("Calls today") == int(figures["Calls today"].value.replace(",", ""))
    assert counted("Failures today") == int(figures["Failures today"].value)
    assert f"{counted('Held now')} calls in flight" == figures["Held now"].note


def test_the_providers_numbers_lead_to_their_calls(seeded: Seeded, browser: Client) -> None:
    for row in browser.get(OVERVIEW).context["providers"]:
        for address, count in (
            (row.calls_address, row.calls),
            (row.failures_address, row.failures),
        ):
            found = browser.get(address).context["cl"].queryset.exclude(status=CallStatus.BLOCKED)
            assert found.count() == count


def test_the_charts_cells_lead_to_the_calls_they_sum(seeded: Seeded, browser: Client) -> None:
    rows = browser.get(OVERVIEW).context["chart"].rows
    cells = [cell for row in rows for cell in row[1:] if cell.address]

    assert cells
    for cell in cells[:8]:
        costs = browser.get(cell.address).context["cl"].queryset.values_list("cost", flat=True)
        assert dollars_text(sum(cost or 0 for cost in costs)) == cell.text


def test_days_are_the_viewers(browser: Client) -> None:
    team = make_team()
    auckland = datetime.now(ZoneInfo("Pacific/Auckland"))
    midnight = auckland.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    _call(team, midnight)
    _call(team, midnight - timedelta(microseconds=1))
    browser.cookies["palyra_zone"] = "Pacific/Auckland"

    response = browser.get(OVERVIEW)

    assert _figures(browser)["Calls today"].value == "1"
    assert "Times are in Pacific/Auckland" in text_of(response.content.decode())


def test_a_zone_that_is_none_is_not_believed(browser: Client) -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", ""):
        browser.cookies["palyra_zone"] = name
        assert "Times are in UTC" in text_of(browser.get(OVERVIEW).content.decode())


def test_before_the_first_call_it_says_how_to_make_one(browser: Client) -> None:
    response = browser.get(OVERVIEW)

    text = text_of(response.content.decode())
    assert "Make your first call" in text
    assert "curl" in text
    assert [step.done for step in response.context["steps"]] == [False, False, False]


def test_the_steps_are_ticked_off(browser: Client) -> None:
    make_model(is_default=True)

    steps = browser.get(OVERVIEW).context["steps"]

    assert [step.done for step in steps] == [True, True, False]


@pytest.mark.parametrize(
    ("permission", "shown", "hidden"),
    [
        ("governance.view_modelcall", "Spend per day, by team", "Budgets, the tightest first"),
        ("governance.view_budgetpolicy", "Budgets, the tightest first", "Spend per day"),
        ("governance.view_approval", "Requests for more budget", "Next runs"),
        ("providers.view_provider", "Providers, last 24 hours", "Requests for more"),
        ("scheduling.view_cronjob", "Next runs", "Runs that ended badly"),
        ("scheduling.view_cronrun", "Runs that ended badly", "Providers, last"),
    ],
)
def test_each_part_is_for_those_who_may_see_its_list(
    seeded: Seeded, permission: str, shown: str, hidden: str
) -> None:
    text = text_of(signed_in(staff("one", permission)).get(OVERVIEW).content.decode())

    assert shown in text
    assert hidden not in text


def test_somebody_without_permission_sees_no_figure(seeded: Seeded) -> None:
    text = text_of(signed_in(staff("nobody")).get(OVERVIEW).content.decode())

    assert "Nothing to show yet" in text
    assert "$" not in text
    for team in seeded.teams:
        assert team.name not in text


def test_a_silent_scheduler_is_said(browser: Client) -> None:
    assert "No worker and no scheduler is running." in text_of(
        browser.get(OVERVIEW).content.decode()
    )


@pytest.mark.parametrize(
    ("amount", "before", "says"),
    [
        (0, 0, "As yesterday: nothing"),
        (5, 0, "Nothing yesterday"),
        (110, 100, "10 % more than yesterday"),
        (90, 100, "10 % less than yesterday"),
        (1000, 1001, "As yesterday"),
        (0, 7, "100 % less than yesterday"),
    ],
)
def test_comparisons_in_words(amount: int, before: int, says: str) -> None:
    assert compared(amount, before, "yesterday") == says


def test_the_chart_stacks_the_largest_teams_and_sums_the_rest() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2)]
    rows = [
        DayUsage(day=days[number % 2], team=f"Team {number}", calls=1, cost=(number + 1) * DOLLAR)
        for number in range(8)
    ]

    chart = draw(rows, days, {"Team 7": 7})

    assert chart.teams == ("Team 7", "Team 6", "Team 5", "Team 4", "Team 3", OTHERS)
    assert chart.total == "$36.00"
    assert chart.totals[-1] == "$6.00"
    data = json.loads(chart.data)
    assert data["labels"] == ["1 Mar", "2 Mar"]
    assert {series["stack"] for series in data["datasets"]} == {"spend"}
    assert len({series["backgroundColor"] for series in data["datasets"]}) == 6
    assert json.loads(chart.options)["scales"]["y"]["stacked"] is True
