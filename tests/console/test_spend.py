"""The spend explorer: what it groups, what its numbers lead to, and its file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, ModelCall
from governance.money import NANO_DOLLARS, dollars_text
from governance.usage.names import NOBODY
from palyra_site.console.dimensions import DIMENSIONS, ENDED
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.counted import make_call
from tests.console.pages import text_of

SPEND = "/admin/spend/"
# Signing in, the session and the badges included.
MOST_QUERIES = 26


def _open(browser: Client, **asked: Any) -> Any:
    return browser.get(f"{SPEND}?{urlencode(asked)}").context


def _listed(browser: Client, address: str) -> list[ModelCall]:
    return list(browser.get(address).context["cl"].queryset)


def _file(browser: Client, **asked: Any) -> list[dict[str, str]]:
    response: Any = browser.get(f"{SPEND}?{urlencode({**asked, 'format': 'csv'})}")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def spent(seeded: Seeded) -> Seeded:
    """Calls of every kind of origin, some without key, job and person."""
    now = timezone.now()
    team = seeded.teams[0]
    key = ApiKey.objects.filter(team=team).order_by("pk").first()
    made: tuple[dict[str, Any], ...] = (
        {"api_key": key},
        {"user": seeded.member, "surface": "console"},
        {"job_id": seeded.job.pk, "surface": "schedule"},
        {"status": "failed", "cost": 0},
        {"status": "blocked", "cost": None, "provider": "", "model": ""},
        {"status": "waiting", "cost": None},
        {"status": "in_flight", "cost": None, "owner": seeded.job.pk, "expires_at": now},
    )
    for number, fields in enumerate(made):
        make_call(team, now - timedelta(days=number, minutes=1), **fields)
    return seeded


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_row_leads_to_the_calls_it_counts(spent: Seeded, browser: Client, by: str) -> None:
    context = _open(browser, by=by)

    assert context["rows"]
    for row in context["rows"]:
        if not row.calls_address:
            continue
        calls = _listed(browser, row.calls_address)
        assert len(calls) == row.totals.calls, row.label
        assert sum(call.cost or 0 for call in calls) == row.totals.cost
        assert len(_listed(browser, row.failed_address)) == row.totals.failed
        assert len(_listed(browser, row.blocked_address)) == row.totals.blocked
    whole = context["whole"]
    assert len(_listed(browser, whole.calls_address)) == whole.totals.calls
    assert sum(row.totals.calls for row in context["rows"]) == whole.totals.calls


@pytest.mark.parametrize("by", DIMENSIONS)
def test_the_charts_cells_lead_to_what_they_sum(spent: Seeded, browser: Client, by: str) -> None:
    for step in ("day", "week", "month"):
        rows = _open(browser, by=by, step=step)["chart"].rows
        cells = [cell for row in rows for cell in row[1:] if cell.address]
        assert cells
        for cell in (*cells[:2], *cells[-2:]):
            costs = [call.cost or 0 for call in _listed(browser, cell.address)]
            assert dollars_text(sum(costs)) == cell.text


def test_one_drills_down_to_the_calls(spent: Seeded, browser: Client) -> None:
    """Team, then key, then model, then the calls: each no more than the one before has."""
    address, seen = SPEND, []
    for by in ("team", "key", "model", "provider"):
        context = browser.get(address).context
        assert context["by"].name == by
        row = context["rows"][0]
        seen.append(row.totals.cost)
        assert {one.title for one in context["narrowed"]} == {
            DIMENSIONS[name].title for name in ("team", "key", "model", "provider")[: len(seen) - 1]
        }
        address = row.deeper

    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == sum(call.cost or 0 for call in _listed(browser, row.calls_address))


def test_a_narrowing_is_taken_back(spent: Seeded, browser: Client) -> None:
    whole = _open(browser)["whole"].totals
    context = _open(browser, provider="openai", team=spent.teams[0].pk)
    assert context["whole"].totals.calls < whole.calls

    for one in (0, 0):
        context = browser.get(context["narrowed"][one].without).context
    assert context["whole"].totals == whole


def test_the_file_is_exactly_the_filter(spent: Seeded, browser: Client) -> None:
    for asked in (
        {},
        {"by": "model", "step": "week", "provider": "openai"},
        {"by": "job", "team": str(spent.teams[0].pk), "period": "7days"},
        {"by": "person", "key": "-"},
    ):
        whole, rows = _open(browser, **asked)["whole"], _file(browser, **asked)
        calls = _listed(browser, whole.calls_address)

        assert sum(int(row["calls"]) for row in rows) == len(calls)
        assert sum(Decimal(row["cost"]) for row in rows) * NANO_DOLLARS == sum(
            call.cost or 0 for call in calls
        )
        output = sum(call.output_tokens or 0 for call in calls)
        assert sum(int(row["output_tokens"]) for row in rows) == output


def test_no_name_becomes_a_formula(browser: Client, spent: Seeded) -> None:
    spent.teams[0].name = '=HYPERLINK("http://bad")'
    spent.teams[0].save()

    names = {row["team"] for row in _file(browser)}

    assert '\'=HYPERLINK("http://bad")' in names
    assert not any(name.startswith("=") for name in names)


def test_a_deleted_key_is_said_and_leads_nowhere(spent: Seeded, browser: Client) -> None:
    key = ApiKey.objects.filter(team=spent.teams[0]).order_by("pk").first()
    assert key is not None
    key.delete()

    rows = {row.label: row for row in _open(browser, by="key")["rows"]}

    assert rows["(deleted)"].calls_address == ""
    assert "(deleted)" in text_of(browser.get(f"{SPEND}?by=key").content.decode())


@pytest.mark.parametrize("by", ["key", "person"])
def test_what_never_had_a_key_or_a_person_is_not_listed_with_what_lost_it(
    spent: Seeded, browser: Client, by: str
) -> None:
    lost: Any = User.objects.create_user("lost")
    if by == "key":
        lost = keys.create(team=spent.teams[0], name="Lost").record
    make_call(spent.teams[0], timezone.now(), **{"api_key" if by == "key" else "user": lost})
    lost.delete()

    context = _open(browser, by=by)
    rows = {row.label: row for row in context["rows"]}
    none = rows[NOBODY[by]]
    assert (none.calls_address, none.failed_address, none.blocked_address) == ("", "", "")
    # Nor is it where spend is narrowed to these, or to those that lost it.
    for key in ("-", text_of_gone(by, rows)):
        narrowed = _open(browser, by="team", **{by: key})
        assert narrowed["whole"].totals.calls
        assert narrowed["whole"].calls_address == ""
        assert {row.calls_address for row in narrowed["rows"]} == {""}
        assert not any(cell.address for row in narrowed["chart"].rows for cell in row)


def text_of_gone(by: str, rows: dict[str, Any]) -> str:
    """What the address narrows spend to that of the value which is gone."""
    deeper = parse_qs(urlsplit(rows["(deleted)"].deeper).query)
    return str(deeper[by][0])


def test_scheduled_prompts_are_called_by_name(spent: Seeded, browser: Client) -> None:
    labels = {row.label for row in _open(browser, by="job")["rows"]}

    assert {spent.job.name, "(no job)"} <= labels


@pytest.mark.parametrize(
    "query", ["job=x", "key=-1", "person=1.5", "model=large", "step=hour", "by=all"]
)
def test_what_is_not_understood_is_refused_whole(
    spent: Seeded, browser: Client, query: str
) -> None:
    response = browser.get(
        f"{SPEND}?{query}&provider=openai" if "provider" not in query else f"{SPEND}?{query}"
    )

    assert response.context["chosen"].faults
    assert not response.context["narrowed"]
    assert "That filter was not used." in text_of(response.content.decode())
    refused = browser.get(f"{SPEND}?{query}&format=csv")
    assert refused.status_code == 400
    assert refused["Content-Type"].startswith("text/plain")


def test_without_calls_one_next_step_is_offered(browser: Client) -> None:
    said = text_of(browser.get(f"{SPEND}?period=today").content.decode())

    assert "Nothing was used here" in said
    assert "Show everything of the last 30 days" in said


def test_it_is_for_those_who_may_see_calls(spent: Seeded) -> None:
    assert signed_in(staff("none", "governance.view_team")).get(SPEND).status_code == 403
    looker = signed_in(staff("looker", "governance.view_modelcall"))
    assert looker.get(SPEND).status_code == 200
    assert "Spend" in text_of(looker.get("/admin/").content.decode())
    assert looker.post(SPEND).status_code == 405


def test_queries_are_few_whatever_the_rows(
    spent: Seeded, browser: Client, administrator: User, django_assert_max_num_queries: Any
) -> None:
    from tests.support.ledger_rows import fill_ledger  # noqa: PLC0415

    for asked in ("", "?by=job", "?by=key&provider=openai&person=-", "?by=model&step=month"):
        with django_assert_max_num_queries(MOST_QUERIES):
            browser.get(f"{SPEND}{asked}")
    now = timezone.now()
    fill_ledger(2000, begin=now - timedelta(days=20), days=20)
    for asked in ("", "?by=job", "?by=key&provider=provider-1&person=-", "?by=model&step=month"):
        with django_assert_max_num_queries(MOST_QUERIES):
            browser.get(f"{SPEND}{asked}")


def test_what_is_counted_has_ended() -> None:
    assert "in_flight" not in ENDED
    assert "waiting" not in ENDED
