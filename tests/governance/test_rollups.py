"""Sums beside the ledger: kept with every batch, equal to what the ledger says, and mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.budgets import Demand, Subject
from governance.ledger import AdmissionRequest, Dismissal, Settlement, Unmade, never_sent
from governance.ledger.rebuilding import rebuild
from governance.ledger.rollups import SUMS, Rollups, counted
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetWindow,
    CallStatus,
    LatencyHour,
    ModelCall,
    Team,
    UsageDay,
    UsageHour,
    UsageSession,
)
from providers import histogram
from providers.identifiers import new_id
from providers.usage import Usage
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def admission(team: Team, at: datetime = NOON, **row: Any) -> AdmissionRequest:
    call_id = new_id()
    where = {"provider": row.pop("provider", "p"), "model": row.pop("model", "m")}
    who = {"session": row.pop("session", ""), "job_id": row.pop("job_id", None)}
    return AdmissionRequest(
        call_id=call_id,
        subject=Subject(team_id=team.pk, call_id=call_id, **where, **who),
        admitted_at=at,
        expires_at=at + timedelta(minutes=2),
        demand=Demand(cost=100, input_tokens=40, output_tokens=10),
        expected={"cost": 40, "tokens": 20, "input_tokens": 12, "output_tokens": 8, "requests": 1},
        row={
            "surface": "openai",
            "task_class": "primary_interactive",
            "requested_model": "m",
            "estimate_upper": 100,
            "estimate_expected": 40,
            **where,
            **who,
            **row,
        },
    )


def settlement(call_id: UUID, **fields: Any) -> Settlement:
    defaults = {
        "status": CallStatus.SUCCEEDED,
        "settled_at": NOON,
        "usage": Usage(uncached_input=10, cache_read=3, output=5),
        "cost": 30,
        "latency_ms": 250,
    }
    return Settlement(call_id=call_id, **{**defaults, **fields})


def unmade(team: Team) -> Unmade:
    request = admission(team)
    return Unmade(
        call_id=request.call_id,
        team_id=team.pk,
        admitted_at=request.admitted_at,
        failure_class="transient_upstream",
        error="No provider.",
        row=request.row,
    )


def test_a_settled_call_is_counted_in_the_hour_it_was_admitted() -> None:
    team, store, job = make_team(), LedgerStore(new_id()), new_id()
    request = admission(team, NOON + timedelta(minutes=59), session="s", job_id=job)
    store.execute([request])
    assert not UsageHour.objects.exists()

    store.execute([settlement(request.call_id)])

    hour, day = UsageHour.objects.get(), UsageDay.objects.get()
    assert (hour.hour, hour.team_id, hour.job) == (NOON, team.pk, str(job))
    assert (day.day, day.team_id, day.cost) == (NOON.replace(hour=0), team.pk, 30)
    assert (hour.provider, hour.model, hour.routing_mode) == ("p", "m", "suggest")
    sums = {name: getattr(hour, name) for name in SUMS}
    assert {name: amount for name, amount in sums.items() if amount} == {
        "calls": 1,
        "succeeded": 1,
        "requests": 1,
        "uncached_input_tokens": 10,
        "cache_read_tokens": 3,
        "output_tokens": 5,
        "cost": 30,
    }
    session = UsageSession.objects.get()
    assert (session.session, session.calls, session.cost) == ("s", 1, 30)
    assert session.first_at == session.last_at == request.admitted_at
    latency = LatencyHour.objects.get()
    assert (latency.bucket, latency.calls) == (histogram.bucket(250), 1)


def test_a_late_settlement_corrects_what_was_assumed() -> None:
    team, store = make_team(), LedgerStore(new_id())
    request = admission(team, session="s")
    store.execute([request])
    store.execute(
        [settlement(request.call_id, status="unconfirmed", cost=40, latency_ms=None, usage=Usage())]
    )
    assert UsageHour.objects.get().unconfirmed == 1

    store.execute([settlement(request.call_id, cost=90), settlement(request.call_id, cost=1)])

    for sums in (UsageHour.objects.get(), UsageSession.objects.get()):
        assert (sums.calls, sums.unconfirmed, sums.succeeded, sums.cost) == (1, 0, 1, 90)


def test_calls_refused_and_never_begun_are_counted() -> None:
    team, store = make_team(), LedgerStore(new_id())
    make_policy(hard_limit=99)
    store.execute([admission(team), unmade(team)])

    hour = UsageHour.objects.get()
    assert (hour.calls, hour.blocked, hour.failed) == (2, 1, 1)
    assert (hour.requests, hour.unpriced, hour.cost) == (0, 0, 0)
    assert not LatencyHour.objects.exists()


def test_a_call_that_waits_counts_once_it_is_dismissed() -> None:
    team, store = make_team(), LedgerStore(new_id())
    waiting = row(
        team_id=team.pk,
        status=CallStatus.WAITING,
        session="s",
        requested_model="m",
        cost=None,
        output_tokens=None,
    )
    waiting.save(force_insert=True)
    assert rebuild(mend=False).equal
    assert not UsageHour.objects.exists()

    denied = Dismissal(call_id=waiting.pk, status="denied", settled_at=NOON, error="Not now.")
    store.execute([denied])

    for sums in (UsageHour.objects.get(), UsageDay.objects.get(), UsageSession.objects.get()):
        assert (sums.calls, sums.denied, sums.requests, sums.unpriced) == (1, 1, 0, 0)
    assert rebuild(mend=False).equal


def row(**fields: Any) -> ModelCall:
    plain = {
        "team_id": 1,
        "admitted_at": NOON,
        "status": CallStatus.SUCCEEDED,
        "task_class": "primary_interactive",
        "output_tokens": 5,
        "cost": 30,
    }
    return ModelCall(**{**plain, **fields})


def nothing(status: CallStatus) -> dict[str, Any]:
    tokens = dict.fromkeys(
        ("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens"), 0
    )
    return {"status": status, **tokens, "cache_write_1h_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"requests": 1, "cost": 30}),
        ({"cost": None}, {"unpriced": 1, "cost": 0}),
        ({"status": CallStatus.BLOCKED, "cost": None}, {"unpriced": 0, "requests": 0}),
        ({"status": CallStatus.DENIED, "cost": None}, {"denied": 1, "requests": 0}),
        (nothing(CallStatus.CANCELLED), {"cancelled": 1, "requests": 0}),
        ({"status": CallStatus.CANCELLED}, {"cancelled": 1, "requests": 1}),
        ({"status": CallStatus.FAILED, "output_tokens": None}, {"failed": 1, "requests": 0}),
        (nothing(CallStatus.FAILED), {"failed": 1, "requests": 1}),
        ({"cached": True, "cost": 0}, {"cached": 1, "cost": 0}),
        ({"overrun": 7}, {"overrun": 7}),
        ({"routing_mode": "dry_run", "compared_cost": 10}, {"savings": 20, "saved": 0}),
        ({"routing_mode": "enforced", "compared_cost": 70}, {"savings": 0, "saved": 40}),
        ({"routing_mode": "enforced", "compared_cost": 20}, {"saved": -10}),
        ({"routing_mode": "suggest", "compared_cost": 10}, {"savings": 0, "saved": 0}),
        ({"routing_mode": "dry_run", "compared_cost": 10, "cost": None}, {"savings": 0}),
    ],
)
def test_what_a_call_counts_for(fields: dict[str, Any], expected: dict[str, int]) -> None:
    one = counted(row(**fields))
    assert one is not None
    assert {name: one.sums.get(name, 0) for name in expected} == expected


@pytest.mark.parametrize("status", [CallStatus.IN_FLIGHT, CallStatus.WAITING])
def test_a_call_that_has_not_ended_counts_for_nothing(status: CallStatus) -> None:
    assert counted(row(status=status)) is None


def test_a_kept_answer_says_nothing_of_a_providers_latency() -> None:
    one = counted(row(cached=True, latency_ms=0))
    assert one is not None
    assert one.latency is None


def test_a_batch_adds_one_statement_for_each_table(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    team = make_team()
    calls = [
        row(team_id=team.pk, session=f"s{number}", latency_ms=number, provider=f"p{number}")
        for number in range(40)
    ]
    usage = Rollups()
    usage.add(calls)
    with django_assert_num_queries(4):
        usage.write()
    again = Rollups()
    again.take_back(calls)
    again.add(calls)
    with django_assert_num_queries(0):
        again.write()


TOKENS = st.one_of(st.none(), st.integers(0, 2**28))
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(CallStatus),
            "minutes": st.integers(0, 1440),
            "microseconds": st.sampled_from([0, 1, 500_000]),
            "session": st.sampled_from(["", "a", "b"]),
            "job_id": st.sampled_from([None, UUID(int=7)]),
            "provider": st.sampled_from(["p", "q"]),
            "routing_mode": st.sampled_from(["suggest", "dry_run", "enforced"]),
            "cached": st.booleans(),
            "failure_class": st.sampled_from(["", "transient_upstream"]),
            "latency_ms": st.one_of(st.none(), st.integers(0, 10**7)),
            "uncached_input_tokens": TOKENS,
            "cache_read_tokens": TOKENS,
            "cache_write_5m_tokens": TOKENS,
            "cache_write_1h_tokens": TOKENS,
            "output_tokens": st.one_of(TOKENS, st.just(0)),
            "cost": st.one_of(st.none(), st.integers(0, 10**15)),
            "compared_cost": st.one_of(st.none(), st.integers(0, 10**15)),
            "overrun": st.integers(0, 10**12),
        }
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_the_two_ways_to_count_agree(calls: list[dict[str, Any]], team: Team) -> None:
    ModelCall.objects.all().delete()
    for table in (UsageHour, UsageDay, UsageSession, LatencyHour):
        table.objects.all().delete()
    rows = []
    for number, one in enumerate(calls):
        fields = dict(one)
        since = timedelta(minutes=fields.pop("minutes"), microseconds=fields.pop("microseconds"))
        rows.append(
            ModelCall(
                team=team,
                surface="openai",
                task_class="primary_interactive",
                requested_model="m",
                model=f"m{number % 2}",
                admitted_at=NOON + since,
                owner=new_id(),
                expires_at=NOON,
                **fields,
            )
        )
    ModelCall.objects.bulk_create(rows)
    for batch in (rows[:5], rows[5:]):
        usage = Rollups()
        usage.add(batch)
        usage.write()

    assert rebuild(mend=False).equal


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["settle", "sweep", "late", "fail", "give up", "unmade", "leave"]),
        st.integers(0, 1),
        st.sampled_from(["", "a"]),
        st.integers(0, 90),
        st.one_of(st.none(), st.integers(0, 150)),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_sums_and_windows_are_what_the_ledger_says(
    steps: list[tuple[str, int, str, int, int | None]], teams: tuple[Team, Team]
) -> None:
    store = LedgerStore(new_id())
    for what, whose, session, minutes, cost in steps:
        team = teams[whose]
        if what == "unmade":
            store.execute([unmade(team)])
            continue
        request = admission(team, NOON + timedelta(minutes=minutes), session=session)
        store.execute([request])
        for ending in _endings(what, request.call_id, cost):
            store.execute([ending])

    assert rebuild(mend=False).equal


def _endings(what: str, call_id: UUID, cost: int | None) -> list[Settlement]:
    swept = settlement(
        call_id,
        status="unconfirmed",
        cost=40,
        latency_ms=None,
        usage=Usage(uncached_input=12, output=8, reported=False),
    )
    failed = settlement(call_id, status="failed", failure_class="overloaded", cost=0, usage=Usage())
    return {
        "settle": [settlement(call_id, cost=cost)],
        "sweep": [swept],
        "late": [swept, settlement(call_id, cost=cost)],
        "fail": [failed],
        "give up": [never_sent(call_id, NOON)],
        "leave": [],
    }[what]


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def teams() -> tuple[Team, Team]:
    """Two teams with budgets, one of which refuses after some calls."""
    make_policy(hard_limit=1000)
    make_policy(metric="tokens", scope="global", hard_limit=10**6, interval="day")
    make_policy(metric="requests", hard_limit=10**6, interval="total")
    make_policy(metric="cost", hard_limit=400, interval="year", rolling=True)
    make_policy(metric="output_tokens", scope="session", hard_limit=10**6, interval="week")
    make_policy(metric="input_tokens", scope="model", hard_limit=10**6, interval="run")
    make_policy(metric="requests", scope="provider", soft_limit=2, interval="minute")
    return make_team(), make_team()


def spoilt() -> BudgetWindow:
    """A ledger with a call, whose sums and window are wrong."""
    make_policy(hard_limit=1000, name="Monthly")
    team, store = make_team(), LedgerStore(new_id())
    request, under_way = admission(team, session="s"), admission(team)
    store.execute([request, under_way])
    store.execute([settlement(request.call_id)])
    UsageHour.objects.update(cost=F("cost") + 1)
    UsageDay.objects.update(day=NOON)
    UsageSession.objects.all().delete()
    LatencyHour.objects.create(hour=NOON, team_id=99, bucket=3, calls=2)
    BudgetWindow.objects.update(consumed=5, held=0)
    return BudgetWindow.objects.get()


def test_a_check_reports_and_changes_nothing() -> None:
    window = spoilt()
    out = StringIO()
    with pytest.raises(CommandError, match="differ") as caught:
        call_command("usage", "rebuild", "--check", "--json", stdout=out)
    assert caught.value.returncode == 1
    said = json.loads(out.getvalue())
    names = ("hours", "days", "sessions", "latencies")
    # Of the days one is missing and one is too many.
    assert [said[name] for name in names] == [1, 2, 1, 1]
    (wrong,) = said["windows"]
    assert (wrong["right_consumed"], wrong["right_held"]) == (30, 100)
    window.refresh_from_db()
    assert (window.consumed, window.held) == (5, 0)


def test_a_person_or_key_that_is_deleted_makes_no_difference() -> None:
    team, store = make_team(), LedgerStore(new_id())
    person, kept = (User.objects.create_user(name) for name in ("one", "two"))
    for user, status in ((person, "unconfirmed"), (kept, "succeeded"), (None, "succeeded")):
        request = admission(team, user_id=user and user.pk)
        store.execute([request, unmade(team)])
        store.execute([settlement(request.call_id, status=status)])
    person.delete()
    assert rebuild(mend=False).equal

    store.execute([settlement(ModelCall.objects.get(status="unconfirmed").pk, cost=7)])
    assert rebuild(mend=False).equal


def test_a_rebuild_puts_everything_right() -> None:
    window = spoilt()
    out = StringIO()
    call_command("usage", "rebuild", stdout=out)
    assert "the ledger says 30 and 100" in out.getvalue()
    window.refresh_from_db()
    assert (window.consumed, window.held) == (30, 100)
    for sums in (UsageHour.objects.get(), UsageDay.objects.get(), UsageSession.objects.get()):
        assert sums.cost == 30
    assert LatencyHour.objects.get().bucket == histogram.bucket(250)

    again = StringIO()
    call_command("usage", "rebuild", "--check", stdout=again)
    assert again.getvalue().strip() == "Sums and windows are what the ledger says."
