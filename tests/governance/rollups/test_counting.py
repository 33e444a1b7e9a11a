"""Sums beside the ledger: kept with every batch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from governance.ledger import Dismissal
from governance.ledger.rebuilding import rebuild
from governance.ledger.rollups import SUMS, Rollups, counted
from governance.ledger.store import LedgerStore
from governance.models import (
    CallStatus,
    LatencyHour,
    ModelCall,
    UsageDay,
    UsageHour,
    UsageSession,
)
from providers import histogram
from providers.identifiers import new_id
from providers.usage import Usage
from tests.governance.rollups.calls import NOON, admission, settlement, unmade
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


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
