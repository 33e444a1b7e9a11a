"""The console's pages of routing: decisions, modes and savings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance import mode_sample
from governance.mode_changes import ModeChange
from governance.mode_sample import foresee_mode
from governance.models import AuditEntry, Team, governance_settings
from scheduling import jobs
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.console.spent import DOLLAR, spent
from tests.support.factories import make_model, make_price, make_provider, make_team

DECISIONS = "admin:governance_routing_decisions"
MODE = "admin:governance_routing_mode"
SAVINGS = "admin:governance_routing_savings"


def decided(team: Team, **fields: Any) -> Any:
    """A call with a decision: p/small would have been better than p/big, which was used."""
    said = {
        "mode_source": "installation",
        "recommended": "p/small",
        "actual": "p/big",
        "compared": None,
        "reason_codes": ["model_requested", "cheaper_available", "score_low"],
        "score": {"total": 0.21, "components": []},
        **fields.pop("decision", {}),
    }
    values: dict[str, Any] = {
        "provider": "p",
        "model": "big",
        "requested_model": "big",
        "cost": DOLLAR,
    }
    values |= {"uncached_input_tokens": 1_000_000, "output_tokens": 0, **fields}
    cost = values.pop("cost")
    return spent(team, cost, decision=said, **values)


@pytest.fixture
def registry(db: None) -> None:
    provider = make_provider(
        name="p", kind="openai_compatible", base_url="https://api.example.com/v1"
    )
    make_price(make_model(provider=provider, name="big", is_default=True), uncached_input=DOLLAR)
    make_price(make_model(provider=provider, name="small"), uncached_input=DOLLAR // 4)


def said(browser: Client, name: str, **asked: str) -> str:
    response = browser.get(reverse(name), asked)
    assert response.status_code == 200
    return text_of(response.content.decode())


def test_decisions_say_what_was_used_and_why(browser: Client, registry: None) -> None:
    blue, red = make_team(name="Blue"), make_team(name="Red")
    decided(blue)
    other = {"recommended": "p/small", "actual": "p/small", "compared": {"model": "p/big"}}
    decided(red, model="small", routing_mode="enforced", compared_cost=4 * DOLLAR, decision=other)

    text = said(browser, DECISIONS)

    assert "A cheaper model can take it; a request this simple goes to the cheapest model" in text
    assert "Complexity 0.21" in text
    assert "the installation is set so" in text
    assert "instead of p/big" in text
    assert "saved $3.00" in text
    assert "Blue" not in said(browser, DECISIONS, mode="enforced").partition("latest first")[2]
    assert "Red" not in said(browser, DECISIONS, model="p/big").partition("latest first")[2]


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "nonsense"},
        {"team": "x"},
        {"team": "9" * 30},
        {"model": "no" * 400},
        {"model": "/"},
        {"class": "?"},
        {"before": "yesterday"},
        {"before": "0001-01-01T00:00:00+14:00_00000000-0000-0000-0000-000000000001"},
        {"before": "9999-12-31T23:59:59+00:00_00000000-0000-0000-0000-000000000001"},
        {"before": "2026-01-01T00:00:00_00000000-0000-0000-0000-000000000001"},
    ],
)
def test_an_address_that_asks_for_nonsense_is_answered(
    browser: Client, registry: None, asked: dict[str, str]
) -> None:
    decided(make_team())
    said(browser, DECISIONS, **asked)


def test_only_what_moved_is_found(browser: Client, registry: None) -> None:
    decided(make_team(name="Moved"))
    decided(make_team(name="Stayed"), decision={"recommended": "p/big"})

    rows = said(browser, DECISIONS, moved="1").partition("latest first")[2]

    assert "Moved" in rows
    assert "Stayed" not in rows


def test_pages_of_decisions_follow_each_other(
    browser: Client, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.routing_log.ON_A_PAGE", 2)
    team, now = make_team(), timezone.now()
    for number in range(5):
        decided(team, requested_model=f"call-{number}", at=now - timedelta(minutes=number // 2))

    address, seen = reverse(DECISIONS), []
    while address:
        response = browser.get(address)
        seen += [one.requested for one in response.context["decisions"]]
        following = response.context["following"]
        address = reverse(DECISIONS) + following if following else ""

    assert sorted(seen) == [f"call-{number}" for number in range(5)]


def test_filters_look_at_the_latest_calls_only(
    browser: Client, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.routing_log.LOOKED_AT", 2)
    team, now = make_team(), timezone.now()
    for number in range(4):
        decided(team, requested_model=f"call-{number}", at=now - timedelta(minutes=number))

    found = browser.get(reverse(DECISIONS)).context["decisions"]

    assert [one.requested for one in found] == ["call-0", "call-1"]


def test_what_would_change_is_told_and_then_switched(browser: Client, registry: None) -> None:
    team = make_team(name="Blue")
    decided(team)
    decided(team, decision={"mode_source": "key"})

    text = said(browser, MODE, **{"for": "installation", "mode": "enforced"})

    assert "It would have saved $0.75" in text
    assert "Would have gone to another model 1" in text
    assert "p/big p/small 1 $1.00 $0.25 $0.75" in text
    assert governance_settings().routing_mode == "suggest"

    answer = browser.post(reverse(MODE), {"for": "installation", "mode": "enforced"}, follow=True)

    assert "“enforced” holds now" in text_of(answer.content.decode())
    assert governance_settings().routing_mode == "enforced"
    assert AuditEntry.objects.filter(object_type__icontains="settings", action="changed").exists()


def test_what_says_otherwise_is_counted(browser: Client, registry: None) -> None:
    team = make_team(name="Blue")
    for name, mode in (("Mornings", "enforced"), ("Evenings", "dry_run"), ("Nights", "")):
        jobs.create_job(
            team=team,
            name=name,
            prompt="Sum it up.",
            schedule_kind="cron",
            cron="0 9 * * *",
            routing_mode=mode,
            now=timezone.now(),
        )

    assert "a budget (0 say otherwise), the request or its schedule (2), its key (0)" in said(
        browser, MODE
    )


def test_a_teams_mode_is_switched_and_taken_back(browser: Client, registry: None) -> None:
    team = make_team(name="Blue")
    decided(team)

    assert "It would have saved $0.75" in said(
        browser, MODE, **{"for": str(team.pk), "mode": "enforced"}
    )
    browser.post(reverse(MODE), {"for": str(team.pk), "mode": "enforced"})
    team.refresh_from_db()
    assert team.routing_mode == "enforced"
    browser.post(reverse(MODE), {"for": str(team.pk), "mode": ""})
    team.refresh_from_db()
    assert team.routing_mode == ""


@pytest.mark.parametrize(
    "sent",
    [{}, {"for": "installation", "mode": ""}, {"for": "x", "mode": "enforced"}, {"for": "1"}],
)
def test_a_mode_that_is_none_is_refused_in_words(browser: Client, sent: dict[str, str]) -> None:
    before = governance_settings().routing_mode

    answer = browser.post(reverse(MODE), sent)

    assert "Choose" in text_of(answer.content.decode())
    assert governance_settings().routing_mode == before


def test_each_mode_takes_the_permission_to_change_it(registry: None) -> None:
    team = make_team()
    leader = signed_in(staff("leader", "governance.view_modelcall", "governance.change_team"))

    assert leader.post(reverse(MODE), {"for": str(team.pk), "mode": "dry_run"}).status_code == 302
    refused = leader.post(reverse(MODE), {"for": "installation", "mode": "dry_run"})
    assert refused.status_code == 403
    assert governance_settings().routing_mode == "suggest"


def test_of_many_calls_some_are_looked_at(
    registry: None, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(mode_sample, "MOST_WHOLE", 10)
    monkeypatch.setattr(mode_sample, "OF_EACH_SLICE", 2)
    team, now = make_team(), timezone.now()
    for hours in range(0, 200, 5):
        decided(team, at=now - timedelta(hours=hours))
        # Nobody knows what these cost, so they are not among those that the others stand for.
        decided(team, cost=None, at=now - timedelta(hours=hours, minutes=1))

    with django_assert_max_num_queries(66):
        found = foresee_mode(ModeChange(team_id=None, mode="enforced", installation="suggest"), now)

    assert (found.calls, found.moved, found.saves) == (40, 40, 30 * DOLLAR)
    assert 10 < found.looked_at < 40


def test_savings_state_what_was_saved_and_how(browser: Client, registry: None) -> None:
    team = make_team(name="Blue")
    other = {"actual": "p/small", "compared": {"model": "p/big"}}
    decided(
        team,
        model="small",
        cost=DOLLAR // 4,
        compared_cost=DOLLAR,
        routing_mode="enforced",
        decision=other,
    )
    decided(team, cost=0, cached=True, model="small", uncached_input_tokens=0)

    text = said(browser, SAVINGS)

    assert "Saved together $1.00" in text
    assert "Routing, enforced $0.75" in text
    assert "Answers kept $0.25" in text
    assert "Always at the default $1.00 p/big" in text
    assert "Blue 1 $0.25 $0.75" in text
    assert "Saved together $0.00" in said(browser, SAVINGS, period="last-month")


def test_savings_say_what_is_compared_with_less_than_it_counts(
    browser: Client, registry: None
) -> None:
    team = make_team()
    decided(team)
    assert "unknown cost" not in said(browser, SAVINGS)
    decided(team, cost=None)

    text = said(browser, SAVINGS)

    assert "Chats cost $1.00 2 calls, 1 at an unknown cost" in text
    assert "1 call whose own cost is not known; “Chats cost” is without it." in text
    assert "$1.00 1 at an unknown cost" in text


@pytest.mark.parametrize("asked", [{"period": "x"}, {"team": "x"}, {"team": "999999"}])
def test_savings_of_nonsense_are_those_of_all(
    browser: Client, registry: None, asked: dict[str, str]
) -> None:
    said(browser, SAVINGS, **asked)


def test_the_pages_take_no_more_queries_for_more_rows(
    browser: Client, registry: None, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        decided(make_team())

    for name, most in ((DECISIONS, 18), (MODE, 25), (SAVINGS, 31)):
        with django_assert_max_num_queries(most):
            said(browser, name)


def test_the_palette_finds_the_pages(browser: Client) -> None:
    found = browser.get("/admin/search/?s=savings&extended=1").content.decode()

    assert reverse(SAVINGS) in found
