"""The ledger's list: narrowed by anything, and every page found in the order of an index."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse

from governance.admin import bounded
from governance.models import ApiKey, ModelCall, Team
from tests.browser.seed import Seeded
from tests.console.pages import text_of
from tests.support.ledger_rows import fill_ledger

LIST = reverse("admin:governance_modelcall_changelist")
# What is narrowed by, one at a time and together.
NARROWED = (
    "",
    "status__exact=failed",
    "team__id__exact={team}",
    "team__id__exact={team}&status__exact=failed",
    "model_used={provider}/{model}",
    "provider={provider}",
    "key=Key 1",
    "api_key__id__exact={key}",
    "person=person-1",
    "user__id__exact={user}",
    "in_session=nightly",
    "cost_from=0.001",
    "cost_from=0.001&cost_to=0.002&team__id__exact={team}",
    "period=2026-01-10",
    "period_from=2026-01-10&period_to=2026-01-12&status__exact=failed",
    "surface__exact=console",
    "cached__exact=1",
    "q={call}",
    "o=0",
    "o=-6",
    "o=6",
)
# What several names are asked for at once is sorted: their calls come from several places.
SORTED = ("q=", "person=", "key=")


@pytest.fixture
def ledger(db: None) -> dict[str, Any]:
    """Calls enough for the planner to have an opinion, and names of theirs."""
    fill_ledger(3000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    call = ModelCall.objects.filter(user__isnull=False).latest("admitted_at")
    key = ApiKey.objects.filter(calls__isnull=False)[0]
    return {
        "call": call.pk,
        "team": call.team_id,
        "provider": call.provider,
        "model": call.model,
        "key": key.pk,
        "user": call.user_id,
    }


def changelist(query: str) -> Any:
    request = RequestFactory().get(f"{LIST}?{query}")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    return admin.site._registry[ModelCall].get_changelist_instance(request)


def plan_of(rows: Any) -> str:
    """How the database finds `rows`, where it does not judge a table small enough to be read."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    return str(rows.explain())


@pytest.mark.parametrize("query", NARROWED)
def test_a_page_is_found_in_the_order_of_an_index(ledger: dict[str, Any], query: str) -> None:
    found = changelist(query.format(**ledger))
    page = plan_of(found.queryset[:25])
    count = plan_of(found.queryset.order_by().values("pk")[: bounded.MOST_COUNTED])

    if connection.vendor == "postgresql":
        for plan in (page, count):
            assert "Seq Scan on governance_modelcall" not in plan, plan
        if not query.startswith(SORTED):
            sorts = [line for line in page.splitlines() if "Sort  (" in line]
            assert all("Incremental Sort" in line for line in sorts), page
    else:
        for plan in (page, count):
            scans = [line for line in plan.splitlines() if "SCAN governance_modelcall" in line]
            assert all("USING" in line and "INDEX" in line for line in scans), plan
        if not query.startswith(SORTED):
            assert "USE TEMP B-TREE FOR ORDER BY" not in page, page


def found(browser: Client, **query: Any) -> list[ModelCall]:
    response = browser.get(LIST, query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_calls_are_narrowed_by_key_person_and_session(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    person = User.objects.get(username="mira")
    ModelCall.objects.filter(pk=call.pk).update(session="nightly", user=person)
    key = call.api_key
    assert key is not None

    assert found(browser, in_session="nightly") == [call]
    assert found(browser, in_session="night") == []
    assert call in found(browser, person="mir", in_session="nightly")
    assert found(browser, person="nobody of that name") == []
    for term in (key.name[:4], f"ply_{key.public_id}", f"ply_{key.public_id}_…{key.last_four}"):
        of_key = found(browser, key=term, in_session="nightly")
        assert of_key == [call], term
    assert {one.api_key_id for one in found(browser, key=f"ply_{key.public_id}")} == {key.pk}


@pytest.mark.parametrize("term", ["nightly", "mira", "openai"])
def test_a_search_finds_sessions_people_and_providers(
    seeded: Seeded, browser: Client, term: str
) -> None:
    person = User.objects.get(username="mira")
    ModelCall.objects.filter(pk=seeded.call.pk).update(session="nightly", user=person)

    rows = found(browser, q=term)

    assert rows
    for one in rows:
        assert term in {one.session, one.user and one.user.username, one.provider}


def test_calls_are_narrowed_by_cost_the_dearest_first(seeded: Seeded, browser: Client) -> None:
    costs = [5 * 10**9, 3 * 10**9, 2 * 10**9 + 1]
    ModelCall.objects.update(cost=1)
    for call, cost in zip(ModelCall.objects.order_by("pk")[:3], costs, strict=True):
        ModelCall.objects.filter(pk=call.pk).update(cost=cost)

    assert [one.cost for one in found(browser, cost_from="2")] == costs
    assert [one.cost for one in found(browser, cost_from=" 2.000000001 ", cost_to="3")] == costs[1:]
    assert [one.cost for one in found(browser, cost_from="2", o="-0")] != []
    assert len(found(browser, cost_to="1")) > 3
    team = ModelCall.objects.get(cost=costs[0]).team_id
    both = found(browser, cost_from="2", team__id__exact=team)
    assert {one.team_id for one in both} == {team}


def test_what_cost_is_not_known_is_below_the_cheapest(seeded: Seeded, browser: Client) -> None:
    ModelCall.objects.update(cost=None)
    for call, cost in zip(ModelCall.objects.order_by("pk")[:2], (1, 0), strict=True):
        ModelCall.objects.filter(pk=call.pk).update(cost=cost)

    dearest_first = [one.cost for one in found(browser, o="-6", all="")]
    assert dearest_first[:3] == [1, 0, None]
    assert [one.cost for one in found(browser, o="6", all="")] == dearest_first[::-1]


@pytest.mark.parametrize("query", ["q=openai", "key=a", "person=a"])
def test_calls_of_several_are_not_sorted_by_cost(seeded: Seeded, query: str) -> None:
    assert changelist(f"{query}&o=-6").queryset.query.order_by[0] == "-admitted_at"
    assert "amount_cost" not in changelist(query).sortable_by
    assert "amount_cost" in changelist("").sortable_by


@pytest.mark.parametrize("cost", ["much", "-1", "1e400", "0.00000000001"])
def test_what_is_no_cost_is_said_and_finds_nothing(
    seeded: Seeded, browser: Client, cost: str
) -> None:
    response = browser.get(LIST, {"cost_from": cost})

    assert "Cost: give US dollars, such as 0.05." in text_of(response.content.decode())
    assert list(response.context["cl"].result_list) == []


def test_a_filled_in_filter_keeps_the_others(seeded: Seeded, browser: Client) -> None:
    html = browser.get(LIST, {"status__exact": "succeeded", "cost_from": "0", "key": "a"}).content

    form = html.decode().split('id="filter-cost_from"')[0].rsplit("<form", 1)[1]
    assert '<input type="hidden" name="status__exact" value="succeeded">' in form
    assert '<input type="hidden" name="key" value="a">' in form
    assert 'name="cost_from"' not in form


def test_every_filled_in_filter_is_described(seeded: Seeded, browser: Client) -> None:
    html = browser.get(LIST).content.decode()

    described = re.findall(r'<input id="filter-[^>]* aria-describedby="([^"]+)"', html)
    assert len(described) > 1
    for one in described:
        assert html.count(f'id="{one}"') == 1, one


def test_a_list_counts_no_further_than_it_pages(
    seeded: Seeded, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MOST_COUNTED", 26)

    text = text_of(browser.get(LIST).content.decode())
    assert "More than 26 calls: a filter, such as by day, leads to the others" in text
    assert found(browser, p="2") != []
    assert browser.get(LIST, {"p": "3"}).status_code == 302


def test_a_list_that_is_counted_whole_says_no_more(seeded: Seeded, browser: Client) -> None:
    text = text_of(browser.get(LIST).content.decode())

    assert f"{ModelCall.objects.count()} calls" in text
    assert "More than" not in text


def test_the_lists_queries_do_not_grow(
    ledger: dict[str, Any], browser: Client, django_assert_max_num_queries: Any
) -> None:
    Team.objects.filter(calls__isnull=True).delete()
    for query in ({}, {"q": "Key 1"}, {"key": "Key"}, {"cost_from": "0"}):
        with django_assert_max_num_queries(20):
            browser.get(LIST, query)
