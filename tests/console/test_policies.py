"""Limits as people write them: dollars for cost, whole tokens and requests otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Approval, BudgetPolicy, BudgetWindow, Team
from governance.windows import bucket, period
from tests.console.pages import filled, text_of
from tests.support.factories import make_policy, make_team

# How a form writes and reads limits: once is enough; where policies stand is summed up.
pytestmark = pytest.mark.any_database
ADD = "admin:governance_budgetpolicy_add"
WINDOWS = "admin:governance_budgetwindow_changelist"
LIST = "admin:governance_budgetpolicy_changelist"


def _written(**fields: Any) -> dict[str, Any]:
    return {
        "name": "A limit",
        "scope": "team",
        "team": "",
        "value": "",
        "metric": "cost",
        "interval": "month",
        "action": "block",
        "thresholds": "50, 75",
        "routing_mode": "",
        "zone": "Europe/Prague",
        "soft_limit": "",
        "hard_limit": "",
        "enabled": "on",
        **fields,
    }


def _page(policy: BudgetPolicy) -> str:
    return reverse("admin:governance_budgetpolicy_change", args=[policy.pk])


@pytest.mark.parametrize(
    ("metric", "soft", "hard", "stored"),
    [
        ("cost", "1.25", "10", (1_250_000_000, 10_000_000_000)),
        ("cost", "", "0.000000001", (None, 1)),
        ("cost", "0", "", (0, None)),
        ("cost", "9223372036.854775807", "", (2**63 - 1, None)),
        ("tokens", "", "2500000", (None, 2_500_000)),
        ("requests", "30", "37.00", (30, 37)),
    ],
)
def test_limits_are_stored_in_the_metrics_unit(
    browser: Client, metric: str, soft: str, hard: str, stored: tuple[int | None, int | None]
) -> None:
    response = browser.post(
        reverse(ADD), _written(metric=metric, soft_limit=soft, hard_limit=hard), follow=True
    )

    assert response.status_code == 200
    policy = BudgetPolicy.objects.get()
    assert (policy.soft_limit, policy.hard_limit) == stored


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hard_limit": "-1"}, "A limit cannot be negative."),
        (
            {"soft_limit": "11", "hard_limit": "10"},
            "The soft limit must not be above the hard limit.",
        ),
        (
            {"metric": "tokens", "hard_limit": "10.5"},
            "A fraction of a token cannot be counted: give a whole number.",
        ),
        (
            {"metric": "requests", "hard_limit": "0.1"},
            "A fraction of a request cannot be counted: give a whole number.",
        ),
        (
            {"hard_limit": "0.0000000001"},
            "Give at most nine decimal places: a billionth of a dollar is the smallest part.",
        ),
        ({"hard_limit": "9223372036.854775808"}, "A limit can be at most $9,223,372,036.85."),
        ({"metric": "tokens", "hard_limit": "9223372036854775808"}, "A limit can be at most"),
        (
            {"metric": "output_tokens", "hard_limit": "10.5"},
            "A fraction of an output token cannot be counted: give a whole number.",
        ),
        ({"thresholds": "50, ninety"}, "Give whole percentages, such as 50, 75 and 90."),
        ({"thresholds": "75 75"}, "Give each percentage once."),
        ({"thresholds": "1001"}, "Give percentages from 1 to 1000."),
        ({"interval": "total", "rolling": "on"}, "A run, and all time, cannot roll."),
        ({"scope": "user", "value": "nobody"}, "There is no person “nobody”"),
        ({"scope": "session", "value": "chat"}, "Say whose session it is"),
        ({"value": "chat"}, "This scope names nobody here."),
        ({"hard_limit": "ten"}, "Enter a number."),
        ({"hard_limit": "NaN"}, "Enter a number."),
        ({}, "Give a hard limit, a soft limit, or both."),
        ({"hard_limit": "1", "zone": "Europe/Atlantis"}, "is not a time zone"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_in_words(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    response = browser.post(reverse(ADD), _written(**fields))

    assert response.status_code == 200
    assert says in text_of(response.content.decode())
    assert not BudgetPolicy.objects.exists()


def test_a_new_policy_alerts_at_the_usual_shares_unless_told_otherwise(browser: Client) -> None:
    page = browser.get(reverse(ADD)).content.decode()
    assert 'name="thresholds" value="50, 75, 90, 100"' in page


def test_every_fault_is_said_at_once(browser: Client) -> None:
    response = browser.post(
        reverse(ADD), _written(name="", soft_limit="-1", hard_limit="0.0000000001", zone="Nowhere")
    )

    said = text_of(response.content.decode())
    for fault in ("This field is required.", "nine decimal places", "is not a time zone"):
        assert fault in said
    # What was written there is said to be wrong, not to be missing.
    assert "or both" not in said


@pytest.mark.parametrize(
    ("metric", "limits", "shown"),
    [
        ("cost", (1_250_000_000, 10_000_000_000), ("1.25", "10.00")),
        ("cost", (None, 1), ("", "0.000000001")),
        ("cost", (1_500_000, None), ("0.0015", "")),
        ("tokens", (None, 2_500_000), ("", "2500000")),
    ],
)
def test_the_form_shows_what_a_person_would_write(
    browser: Client, metric: str, limits: tuple[int | None, int | None], shown: tuple[str, str]
) -> None:
    policy = make_policy(metric=metric, soft_limit=limits[0], hard_limit=limits[1])

    form = filled(browser.get(_page(policy)).content.decode(), "budgetpolicy_form")

    assert (form["soft_limit"], form["hard_limit"]) == shown


@pytest.mark.parametrize("amount", [1, 999, 1_000_000_007, 10**10, 2**63 - 1])
def test_saving_a_form_as_it_is_changes_no_limit(browser: Client, amount: int) -> None:
    policy = make_policy(hard_limit=amount)
    form = filled(browser.get(_page(policy)).content.decode(), "budgetpolicy_form")

    browser.post(_page(policy), {**form, "name": "renamed"})

    policy.refresh_from_db()
    assert (policy.name, policy.hard_limit) == ("renamed", amount)


@pytest.mark.every_database
def test_every_field_is_stored_and_shown_again(browser: Client) -> None:
    team, person = make_team(name="Blue"), User.objects.create_user("pat")
    sent = _written(
        scope="user",
        team=str(team.pk),
        value="pat",
        metric="input_tokens",
        interval="day",
        rolling="on",
        hard_limit="500",
        action="approval",
        thresholds="90 %, 75",
        routing_mode="dry_run",
    )
    browser.post(reverse(ADD), sent)

    policy = BudgetPolicy.objects.get()
    assert (policy.scope, policy.team, policy.value) == ("user", team, str(person.pk))
    assert (policy.interval, policy.rolling, policy.action) == ("day", True, "approval")
    assert (policy.thresholds, policy.routing_mode) == ([75, 90], "dry_run")

    page = browser.get(_page(policy)).content.decode()
    form = filled(page, "budgetpolicy_form")
    assert form.items() >= {**sent, "thresholds": "75, 90"}.items()
    assert (
        "pat of Blue: at most 500 input tokens in any 24 hours, needs approval past that; "
        "alerts at 75 and 90 %; routing is a dry run"
    ) in text_of(page)

    browser.post(_page(policy), {**form, "name": "renamed"})
    policy.refresh_from_db()
    assert (policy.name, policy.value) == ("renamed", str(person.pk))

    browser.post(_page(policy), {**form, "scope": "session", "value": "chat"})
    policy.refresh_from_db()
    assert policy.value == f"{team.pk}:chat"


def test_a_refused_change_still_says_what_holds(browser: Client) -> None:
    policy = make_policy(scope="user", value=str(User.objects.create_user("pat").pk))
    form = filled(browser.get(_page(policy)).content.decode(), "budgetpolicy_form")

    response = browser.post(
        _page(policy), {**form, "scope": "job", "interval": "total", "rolling": "on"}
    )

    said = text_of(response.content.decode())
    assert "“pat” is not the identifier of a scheduled job." in said
    assert "A run, and all time, cannot roll." in said
    assert "pat: at most $10.00 a month, blocks" in said


def test_whoever_is_named_and_gone_is_kept(browser: Client) -> None:
    policy = make_policy(scope="user", value="404")
    form = filled(browser.get(_page(policy)).content.decode(), "budgetpolicy_form")

    browser.post(_page(policy), {**form, "name": "renamed"})

    policy.refresh_from_db()
    assert (policy.name, policy.value) == ("renamed", "404")


def test_all_that_says_what_is_counted_is_fixed_once_something_was(browser: Client) -> None:
    policy = make_policy(interval="day", rolling=True)
    BudgetWindow.objects.create(policy=policy, starts_at="2026-03-01T00:00Z", consumed=7)

    page = browser.get(_page(policy)).content.decode()

    assert form_fields(page).isdisjoint(
        {"scope", "team", "value", "metric", "interval", "rolling", "zone"}
    )
    assert {"action", "thresholds", "routing_mode"} <= form_fields(page)
    # Nothing is shown by the value of a field that is not there.
    assert "x-show=\"!['run'" not in page


def form_fields(page: str) -> set[str]:
    return set(filled(page, "budgetpolicy_form"))


@pytest.mark.every_database
def test_windows_say_whose_they_are(browser: Client, django_assert_max_num_queries: Any) -> None:
    team, person = make_team(name="Blue"), User.objects.create_user("pat")
    for scope, value, interval in (
        ("user", str(person.pk), "day"),
        ("session", f"{team.pk}:chat", "day"),
        ("team", f"{team.pk}|{UUID(int=1)}", "run"),
        ("team", "404", "day"),
        ("global", "", "day"),
    ):
        policy = make_policy(scope=scope, interval=interval)
        BudgetWindow.objects.create(
            policy=policy, scope_value=value, starts_at="2026-03-01T00:00Z", consumed=7
        )
    rolling = make_policy(interval="hour", rolling=True)
    BudgetWindow.objects.create(
        policy=rolling,
        scope_value=str(team.pk),
        starts_at="2026-03-01T00:00Z",
        ends_at="2026-03-01T00:05Z",
    )

    with django_assert_max_num_queries(16):
        said = text_of(browser.get(reverse(WINDOWS)).content.decode())

    for words in ("pat", "session chat", "Blue one run", "team 404", "everyone together"):
        assert words in said
    assert "a part of the last hour" in said


@pytest.mark.every_database
def test_what_is_counted_does_not_change_once_something_was(browser: Client) -> None:
    policy = make_policy(metric="cost", hard_limit=10**9)
    BudgetWindow.objects.create(policy=policy, starts_at="2026-03-01T00:00Z", consumed=7)
    form = filled(browser.get(_page(policy)).content.decode(), "budgetpolicy_form")

    assert "metric" not in form
    browser.post(_page(policy), {**form, "metric": "tokens", "hard_limit": "2"})

    policy.refresh_from_db()
    assert (policy.metric, policy.hard_limit) == ("cost", 2 * 10**9)


@pytest.mark.every_database
def test_the_list_says_where_each_policy_stands(browser: Client) -> None:
    team = make_team(name="Blue")
    policy = make_policy(name="Blue's", team=team, interval="total", hard_limit=2 * 10**9)
    BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk),
        starts_at="1970-01-01T00:00Z",
        consumed=1_500_000_000,
        held=250_000_000,
    )

    said = text_of(browser.get(reverse(LIST)).content.decode())

    assert "$1.50 consumed, $0.25 held of $2.00" in said
    assert "Within limits" in said
    assert "Blue: at most $2.00 in total, blocks; alerts at 50, 75, 90 and 100 %" in said
    assert "Never" in said


@pytest.mark.every_database
def test_an_unlimited_number_of_teams_costs_no_more_queries(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    policy = make_policy(interval="total")
    for number in range(30):
        team = make_team()
        BudgetWindow.objects.create(
            policy=policy, scope_value=str(team.pk), starts_at="1970-01-01T00:00Z", consumed=number
        )

    with django_assert_max_num_queries(13):
        response = browser.get(reverse(LIST))

    assert "all 30 teams" in response.content.decode()


def _approved(policy: BudgetPolicy, team: Team, amount: int) -> None:
    Approval.objects.create(
        team=team,
        policy=policy,
        scope_value=str(team.pk),
        amount=amount,
        until="date",
        expires_at=timezone.now() + timedelta(days=1),
        status="approved",
    )


def test_a_windows_limit_has_all_that_was_approved(browser: Client) -> None:
    team = make_team()
    policy = make_policy(team=team, metric="tokens", hard_limit=100)
    _approved(policy, team, 60)
    now = period("month", "UTC", timezone.now())
    before = period("month", "UTC", now.starts_at - timedelta(days=1))
    for when in (now, before):
        BudgetWindow.objects.create(
            policy=policy,
            scope_value=str(team.pk),
            starts_at=when.starts_at,
            ends_at=when.ends_at,
            consumed=100,
            raised_by=40,
        )

    said = text_of(browser.get(reverse(WINDOWS)).content.decode())

    assert "200 tokens 50 %" in said
    assert "140 tokens 71 %" in said
    window = BudgetWindow.objects.get(starts_at=now.starts_at)
    page = reverse("admin:governance_budgetwindow_change", args=[window.pk])
    shown = text_of(browser.get(page).content.decode())
    assert "200 tokens" in shown
    assert "of which approved on request 100 tokens" in shown.lower()


def test_a_part_of_a_rolling_budget_has_no_meter_of_its_own(browser: Client) -> None:
    team = make_team()
    policy = make_policy(team=team, metric="tokens", hard_limit=100, interval="hour", rolling=True)
    _approved(policy, team, 60)
    for minutes, raised_by in ((180, 1000), (20, 30), (0, 10)):
        part = bucket("hour", timezone.now() - timedelta(minutes=minutes))
        BudgetWindow.objects.create(
            policy=policy,
            scope_value=str(team.pk),
            starts_at=part.starts_at,
            ends_at=part.ends_at,
            consumed=50,
            raised_by=raised_by,
        )

    html = browser.get(reverse(WINDOWS)).content.decode()

    assert text_of(html).count("200 tokens in the last hour part of the last hour") == 2
    assert "palyra-meter" not in html
