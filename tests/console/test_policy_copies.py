"""The same policy for other teams."""

from __future__ import annotations

from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from governance import policy_copies
from governance.models import BudgetPolicy
from tests.console.pages import links_of, text_of
from tests.console.spent import DOLLAR, spent
from tests.support.factories import make_policy, make_team


def _duplicate(policy: BudgetPolicy) -> str:
    return reverse("admin:governance_budgetpolicy_duplicate", args=[policy.pk])


def test_a_policy_is_duplicated_to_teams(browser: Client) -> None:
    blue, red, green = (make_team(name=name) for name in ("Blue", "Red", "Green"))
    policy = make_policy(
        name="Blue, a month", team=blue, hard_limit=5 * DOLLAR, action="approval", thresholds=[80]
    )
    spent(red, 4 * DOLLAR)

    page = text_of(browser.get(_duplicate(policy)).content.decode())
    assert "2 of 2 have no such policy yet" in page
    assert "$4.00 consumed of $5.00" in page
    answer = browser.post(_duplicate(policy), {"teams": [red.pk, green.pk]}, follow=True)

    assert "2 teams have a policy like “Blue, a month” now" in text_of(answer.content.decode())
    copies = BudgetPolicy.objects.exclude(pk=policy.pk).order_by("name")
    assert [one.name for one in copies] == ["Green, a month", "Red, a month"]
    assert {(one.hard_limit, one.action, tuple(one.thresholds)) for one in copies} == {
        (5 * DOLLAR, "approval", (80,))
    }


def test_a_policys_page_leads_to_its_duplicating_unless_it_is_everyones(browser: Client) -> None:
    policy, everyones = make_policy(team=make_team()), make_policy(scope="global")
    pages = [
        browser.get(reverse("admin:governance_budgetpolicy_change", args=[one.pk]))
        for one in (policy, everyones)
    ]

    links = [links_of(page.content.decode()) for page in pages]

    assert links == [[("Duplicate to teams", _duplicate(policy))], []]


def test_duplicating_is_all_or_nothing_and_says_every_fault(browser: Client) -> None:
    blue, red, green, white = (make_team(name=name) for name in ("Blue", "Red", "Green", "White"))
    policy = make_policy(name="Blue, a month", team=blue)
    make_policy(name="Another", team=red)
    make_policy(name="Green, a month", team=green, interval="day")

    answer = browser.post(_duplicate(policy), {"teams": [red.pk, green.pk, white.pk]})

    text = text_of(answer.content.decode())
    assert "Red: it has such a policy already, “Another”." in text
    assert "Green: Budget policy with this Name already exists." in text
    assert BudgetPolicy.objects.count() == 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scope": "global"}, "It counts everyone together"),
        ({}, "It counts every team's calls already."),
        ({"scope": "api_key", "value": "1"}, "one team's alone"),
    ],
)
def test_what_cannot_be_duplicated_says_why(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    team = make_team() if fields.get("value") else None
    policy = make_policy(team=team, **fields)
    other = make_team()

    assert says in text_of(browser.get(_duplicate(policy)).content.decode())
    browser.post(_duplicate(policy), {"teams": [other.pk]})
    assert BudgetPolicy.objects.count() == 1


@pytest.mark.parametrize("sent", [[], ["x"], ["999999"], ["-1"]])
def test_a_team_that_is_none_makes_no_copy(browser: Client, sent: list[str]) -> None:
    policy = make_policy(team=make_team())

    assert browser.post(_duplicate(policy), {"teams": sent}).status_code == 200
    assert BudgetPolicy.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_not_give_a_team_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    blue, red = make_team(name="Blue"), make_team(name="Red")
    policy = make_policy(name="Blue, a month", team=blue)
    gate = Barrier(2)
    said: list[str] = []

    def meet(copies: Any) -> list[str]:
        # Both have looked and neither has stored: nobody comes here while another copies.
        with suppress(BrokenBarrierError):
            gate.wait(timeout=0.5)
        return []

    def give() -> None:
        try:
            policy_copies.copy_to(policy, [red])
            said.append("Given.")
        except Exception as error:
            said.append("; ".join(getattr(error, "messages", [repr(error)])))
        finally:
            connections.close_all()

    monkeypatch.setattr(policy_copies, "_twice", meet)
    both = [Thread(target=give) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert sorted(said) == ["Given.", "Red: it has such a policy already, “Red, a month”."]
    assert BudgetPolicy.objects.filter(team=red).count() == 1


def test_a_session_is_each_teams_own(browser: Client) -> None:
    blue, red = make_team(), make_team()
    policy = make_policy(team=blue, scope="session", value=f"{blue.pk}:chat")

    browser.post(_duplicate(policy), {"teams": [red.pk]})

    assert BudgetPolicy.objects.get(team=red).value == f"{red.pk}:chat"
