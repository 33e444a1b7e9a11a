"""From a call to whatever it belongs to, and from there back to its calls."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import (
    Approval,
    BudgetWindow,
    ModelCall,
)
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of

LIST = reverse("admin:governance_modelcall_changelist")


def page(name: str, key: Any) -> str:
    return reverse(f"admin:{name}_change", args=[key])


def calls_behind(browser: Client, address: str) -> set[Any]:
    """The calls that the page at `address` leads to."""
    found = browser.get(address)
    (link,) = [one.address for one in found.context["object_links"] if LIST in one.address]
    shown = browser.get(link)
    assert shown.status_code == 200, link
    assert shown.context["cl"].result_list is not None
    return set(shown.context["cl"].queryset.values_list("pk", flat=True))


def test_pages_lead_back_to_their_calls(seeded: Seeded, browser: Client) -> None:
    call = ModelCall.objects.filter(price__isnull=False, api_key__isnull=False)[0]
    ModelCall.objects.filter(pk=call.pk).update(user=seeded.member)
    of_run = ModelCall.objects.filter(run_id__isnull=False)[0]
    for name, key, where in (
        ("governance_team", call.team_id, {"team": call.team_id}),
        ("governance_apikey", call.api_key_id, {"api_key": call.api_key_id}),
        ("governance_price", call.price_id, {"price": call.price_id}),
        ("auth_user", seeded.member.pk, {"user": seeded.member.pk}),
        ("scheduling_cronrun", of_run.run_id, {"run_id": of_run.run_id}),
        ("scheduling_cronjob", of_run.job_id, {"job_id": of_run.job_id}),
    ):
        expected = set(ModelCall.objects.filter(**where).values_list("pk", flat=True))
        assert expected
        assert calls_behind(browser, page(name, key)) == expected, name


def test_a_window_leads_to_the_calls_it_counts(seeded: Seeded, browser: Client) -> None:
    counted = 0
    for window in BudgetWindow.objects.select_related("policy"):
        found = calls_behind(browser, page("governance_budgetwindow", window.pk))
        calls = ModelCall.objects.filter(pk__in=found)
        if window.policy.metric == "cost" and window.policy.scope == "team":
            assert {str(one.team_id) for one in calls} <= {window.scope_value}
            assert all(one.admitted_at >= window.starts_at for one in calls)
            counted += len(found)
    assert counted


@pytest.mark.parametrize("window", ["0", "x", "99999999999999999999"])
def test_no_such_window_has_no_calls(seeded: Seeded, browser: Client, window: str) -> None:
    response = browser.get(LIST, {"window": window})

    assert response.status_code == 200
    assert list(response.context["cl"].result_list) == []


def test_links_to_calls_are_for_those_who_may_see_them(seeded: Seeded) -> None:
    looker = signed_in(staff("looker", "governance.view_team"))

    shown = looker.get(page("governance_team", seeded.teams[0].pk))

    assert shown.context["object_links"] == []


def test_a_call_leads_to_its_sessions_calls_within_its_team(
    seeded: Seeded, browser: Client
) -> None:
    call = seeded.call
    team, other_team = call.team, ModelCall.objects.exclude(team=call.team)[0].team
    mine = list(ModelCall.objects.filter(team=team).exclude(pk=call.pk)[:2])
    foreign = ModelCall.objects.filter(team=other_team)[0]
    keys = [call.pk, foreign.pk, *(one.pk for one in mine)]
    ModelCall.objects.filter(pk__in=keys).update(session="a & b")

    shown = browser.get(page("governance_modelcall", call.pk))

    link = shown.context["session_calls"]
    query = dict(parse_qsl(urlsplit(link.address).query))
    found = browser.get(LIST, query).context["cl"].result_list
    assert link.label == f"All {len(found)} calls of this session"
    assert {one.pk for one in found} == {call.pk, *(one.pk for one in mine)}
    assert "a & b" in text_of(shown.content.decode())


def test_a_call_alone_in_its_session_leads_to_no_others(seeded: Seeded, browser: Client) -> None:
    ModelCall.objects.filter(pk=seeded.call.pk).update(session="alone")

    shown = browser.get(page("governance_modelcall", seeded.call.pk))

    assert shown.context["session_calls"] is None


def test_a_call_leads_to_what_it_asked_for(seeded: Seeded, browser: Client) -> None:
    call, pending = seeded.call, seeded.pending
    Approval.objects.filter(pk=pending.pk).update(call_id=call.pk)

    text = text_of(browser.get(page("governance_modelcall", call.pk)).content.decode())

    assert "Asked for more: " in text
    assert f"{pending.policy} (waiting)" in text or f"{pending.policy} (pending)" in text
    looker = signed_in(staff("looker", "governance.view_modelcall"))
    assert (
        "Asked for more" not in looker.get(page("governance_modelcall", call.pk)).content.decode()
    )


def test_a_call_leads_to_its_person_and_price(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    ModelCall.objects.filter(pk=call.pk).update(user=seeded.member)

    html = browser.get(page("governance_modelcall", call.pk)).content.decode()

    assert page("auth_user", seeded.member.pk) in html
    assert page("governance_price", call.price_id) in html
