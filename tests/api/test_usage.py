"""What was used, through the API: sums, breakdowns, sessions, times, forecasts and exports."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from django.utils import timezone

from governance import keys
from governance.models import BudgetWindow, CallStatus, Team
from governance.usage import export
from governance.windows import period
from tests.api.callers import Caller, body_of, items_of, member_of, person, signed_in
from tests.api.problems import faults
from tests.api.sides import NOON, make_call
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
NO_MONEY = "0.000000000"
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("calls", "succeeded", "failed", "cancelled", "blocked", "denied"), 0),
    **dict.fromkeys(("unconfirmed", "unpriced", "cached", "requests"), 0),
    **dict.fromkeys(("input_tokens", "uncached_input_tokens", "cache_read_tokens"), 0),
    **dict.fromkeys(("cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"), 0),
    **dict.fromkeys(("cost", "overrun", "savings", "saved"), NO_MONEY),
}
PERIOD = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-03T00:00:00Z"}


def test_usage_is_summed_up_for_a_team_or_for_everyone(
    organisation: Caller, integration: Caller, team: Team
) -> None:
    make_call(team)
    make_call(team, status=CallStatus.FAILED, cost=None)
    make_call(team, admitted_at=NOON - timedelta(days=30))
    make_call(make_team())
    own = body_of(integration.get("/usage/summary", **PERIOD))
    assert own == {
        "since": "2026-03-01T00:00:00.000000Z",
        "until": "2026-03-03T00:00:00.000000Z",
        "in_flight": 0,
        **NOTHING,
        "calls": 2,
        "succeeded": 1,
        "failed": 1,
        "requests": 2,
        "unpriced": 1,
        "uncached_input_tokens": 20,
        "input_tokens": 20,
        "output_tokens": 10,
        "cost": "0.000012500",
    }
    assert body_of(organisation.get("/usage/summary", **PERIOD))["calls"] == 3
    assert body_of(organisation.get("/usage/summary", team="demo", **PERIOD)) == own


def test_usage_is_summed_up_by_the_days_of_a_zone(integration: Caller, team: Team) -> None:
    make_call(team, admitted_at=NOON)
    make_call(team, admitted_at=NOON + timedelta(hours=11, minutes=30))
    days = body_of(integration.get("/usage/by-day", zone="Europe/Prague", **PERIOD))
    assert days["zone"] == "Europe/Prague"
    assert days["items"] == [
        {"day": "2026-03-01", "team": "Demo", "calls": 1, "cost": "0.000012500"},
        {"day": "2026-03-02", "team": "Demo", "calls": 1, "cost": "0.000012500"},
    ]


@pytest.mark.parametrize(
    ("path", "query", "fields"),
    [
        ("/usage/summary", {"since": PERIOD["until"], "until": PERIOD["since"]}, {"since"}),
        ("/usage/summary", {"until": "0001-01-01T00:00:00Z"}, {"since"}),
        (
            "/usage/by-day",
            {"since": "2020-01-01T00:00:00Z", "until": PERIOD["until"], "zone": "Mars/Base"},
            {"since", "zone"},
        ),
    ],
)
def test_a_bad_period_is_refused(
    integration: Caller, path: str, query: dict[str, str], fields: set[str]
) -> None:
    assert faults(integration.get(path, **query)).keys() == fields


def test_who_has_two_teams_says_whose_usage(team: Team) -> None:
    member = member_of(team)
    member.memberships.create(team=make_team(slug="second"))
    assert faults(signed_in(member).get("/usage/summary")).keys() == {"team"}
    assert signed_in(member).get("/usage/summary", team="second").status_code == 200


def test_a_sum_is_of_what_is_asked_for(integration: Caller, team: Team) -> None:
    key, member, job = keys.create(team=team, name="one").record, member_of(team), UUID(int=7)
    make_call(team, api_key=key, cost=1)
    make_call(team, user=member, cost=20)
    make_call(team, job_id=job, task_class="background_automation", cost=300)
    make_call(team, provider="other", routing_mode="enforced", compared_cost=9000, cost=4000)
    make_call(team, model="large", cost=50_000)
    theirs = keys.create(team=make_team(slug="theirs"), name="two").record

    def cost(**wanted: str) -> int:
        found = body_of(integration.get("/usage/summary", **PERIOD, **wanted))["cost"]
        return int(found.replace(".", ""))

    assert cost() == 54_321
    assert cost(key_id=key.public_id) == 1
    assert cost(person=member.username) == 20
    assert cost(job_id=str(job)) == cost(task_class="background_automation") == 300
    assert cost(provider="other") == cost(routing_mode="enforced") == 4000
    assert cost(model="large") == 50_000
    assert cost(key_id="", person="") == 54_300
    for name in ("nobody", theirs.public_id):
        assert cost(key_id=name) == cost(person=name) == 0


def test_calls_under_way_are_in_the_sum(integration: Caller, team: Team) -> None:
    flying = {"status": CallStatus.IN_FLIGHT, "owner": UUID(int=1), "expires_at": NOON}
    make_call(team, **flying, job_id=UUID(int=7), cost=None)
    make_call(team, **flying, cost=None)
    found = body_of(integration.get("/usage/summary", **PERIOD))
    assert (found["calls"], found["in_flight"], found["unpriced"]) == (2, 2, 0)
    one = body_of(integration.get("/usage/summary", **PERIOD, job_id=str(UUID(int=7)), key_id=""))
    assert (one["calls"], one["in_flight"]) == (1, 1)


def test_usage_is_broken_down(organisation: Caller, team: Team) -> None:
    key = keys.create(team=team, name="one").record
    member = member_of(team)
    make_call(team, api_key=key, cost=75)
    make_call(team, user=member, model="large", cost=20)
    make_call(make_team(slug="red", name="Red"), cost=5)
    member.delete()

    def broken_down(by: str) -> list[tuple[str, str, float]]:
        found = body_of(organisation.get("/usage/breakdown", by=by, **PERIOD))
        assert found["total"]["calls"] == 3
        assert found["rest"] == NOTHING
        return [(one["value"], one["label"], one["share_of_cost"]) for one in found["items"]]

    assert broken_down("team") == [("demo", "Demo", 95.0), ("red", "Red", 5.0)]
    assert broken_down("model") == [
        ("rehearsal/small", "rehearsal/small", 80.0),
        ("rehearsal/large", "rehearsal/large", 20.0),
    ]
    assert broken_down("key") == [(key.public_id, "one", 75.0), ("", "(no key)", 25.0)]
    assert [one[1:] for one in broken_down("person")] == [("(nobody)", 80.0), ("(deleted)", 20.0)]
    assert broken_down("job") == [("", "(no job)", 100.0)]
    assert broken_down("routing_mode") == [("suggest", "suggest", 100.0)]

    found = body_of(organisation.get("/usage/breakdown", by="model", limit="1", **PERIOD))
    assert [one["value"] for one in found["items"]] == ["rehearsal/small"]
    assert (found["rest"]["calls"], found["rest"]["cost"]) == (1, "0.000000020")


def test_a_series_says_each_steps_shares(integration: Caller, team: Team) -> None:
    for hours, model, cost in ((0, "small", 1), (1, "small", 30), (1, "large", 10)):
        make_call(team, admitted_at=NOON + timedelta(hours=hours), model=model, cost=cost)
    found = body_of(integration.get("/usage/series", step="hour", by="model", **PERIOD))
    assert (found["step"], found["zone"], found["by"]) == ("hour", "UTC", "model")
    assert [
        (one["since"][11:16], one["until"][11:16], one["label"], one["share_of_cost"])
        for one in found["items"]
    ] == [
        ("12:00", "13:00", "rehearsal/small", 100.0),
        ("13:00", "14:00", "rehearsal/small", 75.0),
        ("13:00", "14:00", "rehearsal/large", 25.0),
    ]
    (month,) = body_of(integration.get("/usage/series", step="month", **PERIOD))["items"]
    assert (month["since"], month["calls"]) == ("2026-03-01T00:00:00.000000Z", 3)


def test_a_mix_is_of_models_and_scopes(integration: Caller, team: Team) -> None:
    make_call(team, cost=3)
    make_call(team, model="large", cost=1)
    found = body_of(integration.get("/usage/mix", **PERIOD))
    assert [one["share_of_cost"] for one in found["models"]] == [75.0, 25.0]
    assert found["scopes"].keys() == {"team", "person", "key", "job", "provider"}
    assert [one["value"] for one in found["scopes"]["team"]] == ["demo"]


def test_sessions_are_listed(organisation: Caller, integration: Caller, team: Team) -> None:
    for number in range(3):
        make_call(team, session="one", admitted_at=NOON + timedelta(minutes=number))
    make_call(team, session="two", admitted_at=NOON - timedelta(days=1))
    make_call(make_team(slug="red"), session="one")
    first, second = items_of(integration.get("/usage/sessions"))
    assert (first["session"], first["calls"], first["cost"]) == ("one", 3, "0.000037500")
    assert (first["first_at"][11:16], first["last_at"][11:16]) == ("12:00", "12:02")
    assert (second["session"], second["team"]) == ("two", "demo")
    assert len(items_of(organisation.get("/usage/sessions"))) == 3
    assert [one["team"] for one in items_of(organisation.get("/usage/sessions", team="red"))] == [
        "red"
    ]
    since = (NOON - timedelta(hours=1)).isoformat()
    assert len(items_of(integration.get("/usage/sessions", since=since))) == 1


def test_times_and_failures_are_told(integration: Caller, team: Team) -> None:
    for milliseconds in range(100, 200):
        make_call(team, latency_ms=milliseconds)
    failed: dict[str, Any] = {"status": CallStatus.FAILED, "cost": 0}
    make_call(team, **failed, failure_class="rate_limited", latency_ms=9000)
    make_call(team, **failed, failure_class="unsupported", latency_ms=None)
    make_call(team, model="kept", cached=True, latency_ms=0)
    found = body_of(integration.get("/usage/latency", **PERIOD))
    (one,) = found["items"]
    assert (one["value"], one["answered"], one["failed"]) == ("rehearsal/small", 100, 2)
    assert one["error_rate"] == round(2 / 102, 6)
    assert one["errors"] == {"rate_limited": 1, "not_tried": 1}
    assert one["p50"] == pytest.approx(150, rel=0.06)
    assert one["p99"] == pytest.approx(199, rel=0.06)
    (nothing_else,) = body_of(integration.get("/usage/latency", **PERIOD, by="team"))["items"]
    assert nothing_else["label"] == "Demo"


def test_a_month_and_its_budgets_are_forecast(integration: Caller, team: Team) -> None:
    now = timezone.now()
    policy = make_policy(name="Monthly", team=team)
    window = period("month", "UTC", now)
    BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        consumed=10**9,
        held=10**9,
    )
    make_call(team, admitted_at=now - timedelta(microseconds=1), cost=10**9)
    found = body_of(integration.get("/usage/forecast"))
    assert (found["spent"], found["last_month"]) == ("1.000000000", NO_MONEY)
    (shown,) = found["windows"]
    assert (shown["policy"], shown["team"], shown["metric"]) == ("Monthly", "demo", "cost")
    assert (shown["used"], shown["limit"]) == ("2.000000000", "10.000000000")


def test_windows_of_everyone_take_a_permission(team: Team) -> None:
    make_policy(name="Monthly", team=team)
    looker = person("looker", "governance.view_modelcall")
    assert body_of(signed_in(looker).get("/usage/forecast"))["windows"] == []
    both = person("both", "governance.view_modelcall", "governance.view_budgetwindow")
    assert len(body_of(signed_in(both).get("/usage/forecast"))["windows"]) == 1


def test_windows_of_another_team_take_a_permission(team: Team) -> None:
    make_policy(name="Monthly", team=team)
    looker = person("looker", "governance.view_modelcall")
    found = body_of(signed_in(looker).get("/usage/forecast", team=team.slug))
    assert (found["spent"], found["windows"]) == (NO_MONEY, [])
    both = person("both", "governance.view_modelcall", "governance.view_budgetwindow")
    assert len(body_of(signed_in(both).get("/usage/forecast", team=team.slug))["windows"]) == 1


def test_of_budgets_that_name_one_only_ones_own_are_forecast(team: Team) -> None:
    ada, bob = member_of(team), member_of(make_team())
    for one in (ada, bob):
        make_policy(name=one.username, scope="user", value=str(one.pk))
    caller = signed_in(ada)
    (forecast,) = body_of(caller.get("/usage/forecast"))["windows"]
    (standing,) = items_of(caller.get("/budgets"))
    assert forecast["policy"] == standing["policy"]["name"] == ada.username


def test_savings_are_last_months_by_team(organisation: Caller, team: Team) -> None:
    first = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = first - timedelta(hours=1)
    red = make_team(slug="red", name="Red")
    make_call(team, admitted_at=last, routing_mode="dry_run", cost=100, compared_cost=30)
    make_call(team, admitted_at=last, routing_mode="enforced", cost=10, compared_cost=25)
    make_call(red, admitted_at=last, routing_mode="dry_run", cost=10, compared_cost=15)
    make_call(red, admitted_at=first, routing_mode="dry_run", cost=10, compared_cost=1)
    found = body_of(organisation.get("/usage/savings"))
    assert found["until"] == f"{first:%Y-%m-%d}T00:00:00.000000Z"
    assert found["items"] == [
        {
            "team": "demo",
            "name": "Demo",
            "rehearsed_calls": 1,
            "rehearsed_cost": "0.000000100",
            "would_have_saved": "0.000000070",
            "enforced_calls": 1,
            "enforced_cost": "0.000000010",
            "saved": "0.000000015",
        },
        {
            "team": "red",
            "name": "Red",
            "rehearsed_calls": 1,
            "rehearsed_cost": "0.000000010",
            "would_have_saved": "-0.000000005",
            "enforced_calls": 0,
            "enforced_cost": NO_MONEY,
            "saved": NO_MONEY,
        },
    ]
    since = first.isoformat()
    (now,) = body_of(organisation.get("/usage/savings", since=since, team="red"))["items"]
    assert now["would_have_saved"] == "0.000000009"


FORMULAS = ("=1+1", "+1", "-1", "@now", "\tx", "\rx")


def test_calls_are_exported_as_csv(integration: Caller, team: Team) -> None:
    made = [
        make_call(team, session=text, requested_model='a "quoted", name', cost=None)
        for text in FORMULAS
    ]
    make_call(team, session="plain", admitted_at=NOON + timedelta(days=9))
    make_call(make_team(), session="theirs")
    reply = integration.get("/usage/export", **PERIOD)
    assert reply["Content-Type"] == "text/csv; charset=utf-8"
    assert reply["Content-Disposition"] == (
        'attachment; filename="palyra-calls-20260301-20260303.csv"'
    )
    content = reply.getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [row["id"] for row in rows] == sorted(str(call.pk) for call in made)
    assert {row["session"] for row in rows} == {f"'{text}" for text in FORMULAS}
    assert rows[0]["requested_model"] == 'a "quoted", name'
    assert (rows[0]["team"], rows[0]["cost"], rows[0]["usage_reported"]) == ("demo", "", "true")


def test_calls_are_exported_as_json_lines(integration: Caller, team: Team) -> None:
    make_call(team, session="=ý", first_token_ms=7)
    reply = integration.get("/usage/export", format="jsonl", **PERIOD)
    assert reply["Content-Type"] == "application/x-ndjson; charset=utf-8"
    (line,) = reply.getvalue().decode().splitlines()
    one = json.loads(line)
    assert list(one) == list(export.COLUMNS)
    assert (one["session"], one["cost"], one["first_token_ms"]) == ("=ý", "0.000012500", 7)
    assert one["admitted_at"] == "2026-03-01T12:00:00.000000Z"
    assert (one["key"], one["streamed"], one["compared_cost"]) == (None, False, None)


def test_every_call_is_exported_once_however_many_begin_at_once(
    integration: Caller, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 3)
    made = {str(make_call(team).pk) for _ in range(8)}
    made |= {str(make_call(team, admitted_at=NOON + timedelta(hours=n)).pk) for n in range(1, 4)}
    reply = integration.get("/usage/export", format="jsonl", **PERIOD)
    found = [json.loads(line)["id"] for line in reply.getvalue().splitlines()]
    assert len(found) == len(made) == 11
    assert set(found) == made


@pytest.mark.django_db(transaction=True)
async def test_an_export_is_streamed_by_an_asynchronous_server_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 2)
    text = await _prepared()
    reply = await AsyncClient().get(
        "/api/v1/usage/export", {**PERIOD, "format": "jsonl"}, AUTHORIZATION=f"Bearer {text}"
    )
    assert reply.status_code == 200
    streamed: Any = reply
    pieces = [piece async for piece in streamed]
    assert [piece.count(b"\n") for piece in pieces] == [2, 2, 1]
    # The thread behind it keeps its connection, and the database is dropped soon.
    await sync_to_async(connections.close_all)()


@sync_to_async
def _prepared() -> str:
    team = make_team()
    for _ in range(5):
        make_call(team)
    return keys.create(team=team, name="tests").text


@pytest.mark.parametrize(
    ("path", "query", "fields"),
    [
        ("/usage/series", {"step": "hour", "since": "2026-01-01T00:00:00Z"}, {"since"}),
        ("/usage/series", {"zone": "Mars/Base"}, {"zone"}),
        ("/usage/series", {"step": "minute"}, {"step"}),
        ("/usage/series", {"step": "month", "since": "0001-01-01T00:00:00Z"}, {"since"}),
        (
            "/usage/series",
            {
                "zone": "America/New_York",
                "since": "0001-01-01T00:00:00Z",
                "until": "0001-01-09T00:00:00Z",
            },
            {"since"},
        ),
        ("/usage/breakdown", {}, {"by"}),
        ("/usage/breakdown", {"by": "weather", "limit": "0"}, {"by", "limit"}),
        ("/usage/latency", {"by": "key"}, {"by"}),
        ("/usage/latency", {"until": "9999-12-31T23:30:00Z"}, {"since"}),
        ("/usage/forecast", {"zone": "Mars/Base"}, {"zone"}),
        ("/usage/savings", {"zone": "Mars/Base"}, {"zone"}),
        ("/usage/export", {"format": "xml"}, {"format"}),
    ],
)
def test_what_no_report_can_be_is_refused(
    integration: Caller, team: Team, path: str, query: dict[str, str], fields: set[str]
) -> None:
    assert faults(integration.get(path, **query)).keys() == fields
