"""The first page: what it counts, for whom, and at what price in queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from governance.approval_words import A_KEY
from governance.budgets import Subject
from governance.ledger import open_window
from governance.models import Approval
from governance.money import dollars_text
from governance.snapshot import policy_entry
from palyra_site.console.figures import Figure, compared
from palyra_site.console.filters import PERIODS, USUAL
from palyra_site.console.overview import STACKED
from palyra_site.console.provider_rows import SHOWN_PROVIDERS
from providers.condition import trip
from providers.identifiers import new_id
from providers.models import Provider, ProviderProbe
from tests.browser.seed import Seeded, seed
from tests.console.conftest import signed_in, staff
from tests.console.counted import DOLLAR, make_call
from tests.console.pages import text_of
from tests.support.factories import make_model, make_policy, make_provider, make_team

OVERVIEW, SPEND = "/admin/", "/admin/spend/"
# Signing in, the session and the badge included; the same for a little and for a lot.
MOST_QUERIES = 64


def _figures(browser: Client, query: str = "") -> dict[str, Figure]:
    context = browser.get(f"{OVERVIEW}{query}").context
    return {figure.name: figure for figure in [*context["now_figures"], *context["figures"]]}


def _count(browser: Client, address: str) -> int:
    return int(browser.get(address).context["cl"].result_count)


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
        make_call(team, now - timedelta(minutes=number), provider=f"host-{number}", status="failed")
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


@pytest.mark.parametrize("period", [*PERIODS, "dates"])
@pytest.mark.parametrize("of_team", [False, True])
def test_every_number_leads_to_the_list_it_counts(
    seeded: Seeded, browser: Client, period: str, of_team: bool
) -> None:
    now, team = timezone.now(), seeded.teams[0]
    for status in ("failed", "unconfirmed", "failed", "waiting", "denied", "cancelled"):
        make_call(team, now - timedelta(seconds=1), status=status, cost=0)
    make_call(team, now - timedelta(seconds=1), cached=True, cost=0)
    first = (now - timedelta(days=40)).date()
    query = f"?from={first}&to={now.date()}" if period == "dates" else f"?period={period}"
    query += f"&team={team.pk}" if of_team else ""

    figures = _figures(browser, query)

    def counted(name: str) -> int:
        return _count(browser, figures[name].address)

    assert counted("Calls") == int(figures["Calls"].value.replace(",", ""))
    assert counted("Failures") == int(figures["Failures"].value)
    assert counted("Cache hits") == int(figures["Cache hits"].value)
    assert f"{counted('Held now')} calls in flight" == figures["Held now"].note
    for name in ("Spend", "Spend today", "Spend this month"):
        costs = browser.get(figures[name].address).context["cl"].queryset
        spent = sum(cost or 0 for cost in costs.values_list("cost", flat=True))
        assert figures[name].value == dollars_text(spent), name


def test_what_waits_and_what_comes_leads_to_its_list(seeded: Seeded, browser: Client) -> None:
    for query in ("", f"?team={seeded.teams[0].pk}"):
        context = browser.get(f"{OVERVIEW}{query}").context
        assert _count(browser, context["alerts_address"]) == context["open_alerts"]
        assert _count(browser, context["waiting_address"]) == context["waiting_count"]
        jobs = context["next_jobs"]
        assert _count(browser, jobs["address"]) == jobs["count"]
        runs = context["bad_runs"]
        listed = browser.get(runs["address"]).context["cl"].queryset
        assert [one.pk for one in runs["rows"]] == [one.pk for one in listed[:5]]


@pytest.mark.parametrize("of_team", [False, True])
def test_the_providers_numbers_lead_to_their_calls(
    seeded: Seeded, browser: Client, of_team: bool
) -> None:
    now = timezone.now()
    for team in seeded.teams:
        for status in ("failed", "blocked", "unconfirmed", "waiting", "denied"):
            make_call(team, now - timedelta(minutes=2), status=status, provider="openai")
    query = f"?team={seeded.teams[1].pk}" if of_team else ""

    rows = [row.lately for row in browser.get(f"{OVERVIEW}{query}").context["providers"]]

    assert any(row.failures for row in rows)
    assert any(row.under_way for row in rows) or of_team
    for row in rows:
        assert _count(browser, row.calls_address) == row.calls
        assert _count(browser, row.failures_address) == row.failures
        assert _count(browser, row.under_way_address) == row.under_way


@pytest.mark.parametrize("sees_calls", [False, True])
def test_what_calls_say_of_a_provider_is_for_those_who_may_see_calls(
    seeded: Seeded, sees_calls: bool
) -> None:
    make_call(
        seeded.teams[0],
        timezone.now() - timedelta(minutes=2),
        status="failed",
        provider="openai",
        error="The host is on fire.",
    )
    more = ("governance.view_modelcall",) if sees_calls else ()
    looker = signed_in(staff("looker", "providers.view_provider", *more))

    page = looker.get(OVERVIEW)

    assert "openai" in {row.provider.name for row in page.context["providers"]}
    text = text_of(page.content.decode())
    for told in ("The host is on fire.", "Last failure", "In flight", "last 24 hours"):
        assert (told in text) is sees_calls, told
    assert ("/modelcall/" in page.content.decode()) is sees_calls


def test_the_board_says_how_a_provider_is(browser: Client) -> None:
    for name in ("closed", "tripped", "off"):
        make_model(provider=make_provider(name=name))
    trip(Provider.objects.get(name="tripped"), by="ada")
    Provider.objects.filter(name="off").update(enabled=False)

    rows = {row.provider.name: row for row in browser.get(OVERVIEW).context["providers"]}

    assert (rows["closed"].breaker, rows["closed"].lets_pass) == ("Closed", True)
    assert (rows["tripped"].breaker, rows["tripped"].lets_pass) == ("Tripped by hand", False)
    assert rows["tripped"].health == "Tripped by hand"
    assert rows["off"].health == "Disabled"


@pytest.mark.parametrize("by", STACKED)
def test_the_charts_cells_lead_to_the_calls_they_sum(
    seeded: Seeded, browser: Client, by: str
) -> None:
    rows = browser.get(f"{OVERVIEW}?by={by}").context["chart"].rows
    cells = [cell for row in rows for cell in row[1:] if cell.address]

    assert cells
    for cell in cells[:8]:
        costs = browser.get(cell.address).context["cl"].queryset.values_list("cost", flat=True)
        assert dollars_text(sum(cost or 0 for cost in costs)) == cell.text


def test_of_a_team_nothing_of_others_is_counted(seeded: Seeded, browser: Client) -> None:
    other = make_team(name="Elsewhere")
    make_call(other, timezone.now() - timedelta(minutes=1), cost=7 * DOLLAR)

    context = browser.get(f"{OVERVIEW}?team={other.pk}").context
    figures = {figure.name: figure.value for figure in context["figures"]}

    assert figures["Spend"] == "$7.00"
    assert context["chart"].names == ("Elsewhere",)
    assert not context["next_jobs"]["rows"]
    assert not context["alerts"]
    assert all(
        one.standing.policy.team in {None, other} or one.standing.team == other
        for one in context["budgets"]
    )


def test_a_filter_with_a_fault_is_refused_whole(seeded: Seeded, browser: Client) -> None:
    response = browser.get(f"{OVERVIEW}?period=eternity&team=999999&by=colour")

    said = text_of(response.content.decode())
    assert "That filter was not used." in said
    assert "That period is none" in said
    assert "There is no such team." in said
    assert "“Group by” is one of team, model, provider." in said
    assert response.context["chosen"].period.name == USUAL
    assert response.context["team"] is None


@pytest.mark.parametrize(
    "query",
    [
        "?from=2026-02-30",
        "?from=2026-03-02&to=2026-03-01",
        "?from=0001-01-01&to=0001-01-02",
        "?from=9999-12-31",
        "?from=9999-12-27&to=9999-12-30&step=month",
        "?from=9999-12-27&to=9999-12-30&step=week",
        "?from=2020-01-01&to=2026-01-01",
        "?team=٣",
        "?team=" + "9" * 400,
        "?period=2026-13-01",
        "?from=yesterday&to=x",
    ],
)
def test_no_filter_breaks_the_page(browser: Client, query: str) -> None:
    make_team()
    for page in (OVERVIEW, SPEND):
        response = browser.get(f"{page}{query}")
        assert response.status_code == 200
        assert response.context["chosen"].faults
    assert browser.get(f"{SPEND}{query}&format=csv").status_code == 400


def test_the_months_limit_and_pace_are_said(browser: Client) -> None:
    team = make_team(name="Payers")
    now = timezone.now()
    make_call(team, now - timedelta(seconds=1), cost=10 * DOLLAR)
    for whose, scope, limit in ((None, "global", 40), (team, "team", 20)):
        policy = policy_entry(
            make_policy(team=whose, scope=scope, interval="month", hard_limit=limit * DOLLAR)
        )
        open_window(policy, policy.window(Subject(team_id=team.pk, call_id=new_id()), now))

    for query, words in (("", "25 % of the limit of $40.00"), (f"?team={team.pk}", "50 % of")):
        assert _figures(browser, query)["Spend this month"].note.startswith(words)


def test_how_long_answers_take_is_of_the_last_day(browser: Client) -> None:
    team = make_team()
    now = timezone.now()
    for number in range(20):
        make_call(team, now - timedelta(minutes=number), latency_ms=1000 if number else 60_000)
    make_call(team, now - timedelta(days=2), latency_ms=500_000)

    figure = _figures(browser)["95 % answered within"]

    assert figure.value in {"1.0 s", "980 ms", "970 ms", "990 ms"} or figure.value.startswith("1.0")
    assert _count(browser, figure.address) >= 1


def test_days_are_the_viewers(browser: Client) -> None:
    team = make_team()
    auckland = datetime.now(ZoneInfo("Pacific/Auckland"))
    midnight = auckland.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    make_call(team, midnight)
    make_call(team, midnight - timedelta(microseconds=1))
    browser.cookies["palyra_zone"] = "Pacific/Auckland"

    response = browser.get(OVERVIEW)

    assert _figures(browser, "?period=today")["Calls"].value == "1"
    assert "Days and times of Pacific/Auckland" in text_of(response.content.decode())


def test_a_zone_that_is_none_is_not_believed(browser: Client) -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", ""):
        browser.cookies["palyra_zone"] = name
        assert "Days and times of UTC" in text_of(browser.get(OVERVIEW).content.decode())


def test_before_the_first_call_it_says_how_to_make_one(browser: Client) -> None:
    response = browser.get(OVERVIEW)

    text = text_of(response.content.decode())
    assert "Make your first call" in text
    assert "curl" in text
    assert [step.done for step in response.context["steps"]] == [False, False, False]


def test_who_may_not_do_a_step_is_not_led_to_it(db: None) -> None:
    looker = signed_in(
        staff(
            "looker",
            "governance.view_modelcall",
            "governance.view_budgetpolicy",
            "providers.view_provider",
            "scheduling.view_cronjob",
        )
    )

    page = looker.get(OVERVIEW)

    assert [step.address for step in page.context["steps"]] == ["", "", ""]
    html = page.content.decode()
    assert "Set the first limit" not in html
    assert "Add the first provider" not in html
    assert "Schedule the first prompt" not in html
    assert "Nothing is scheduled." in html


def test_no_provider_in_trouble_is_left_out(browser: Client) -> None:
    for number in range(SHOWN_PROVIDERS + 2):
        sick = make_provider(name=f"p{number:02}")
    ProviderProbe.objects.create(provider=sick, checked_at=timezone.now(), ok=False)

    rows = browser.get(OVERVIEW).context["providers"]

    assert len(rows) == SHOWN_PROVIDERS
    assert rows[0].provider == sick


def test_the_steps_are_ticked_off(browser: Client) -> None:
    make_model(is_default=True)

    steps = browser.get(OVERVIEW).context["steps"]

    assert [step.done for step in steps] == [True, True, False]


@pytest.mark.parametrize(
    ("permission", "shown", "hidden"),
    [
        ("governance.view_modelcall", "Spend per day, by team", "Budgets, the tightest first"),
        ("governance.view_budgetpolicy", "Budgets, the tightest first", "Spend per day"),
        ("governance.view_alert", "Open alerts", "Requests for more"),
        ("governance.view_approval", "Requests for more budget", "Next runs"),
        ("providers.view_provider", "All providers", "Requests for more"),
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
