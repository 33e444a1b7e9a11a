"""Sums beside the ledger: equal to what the ledger says, and mended where they are not."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.ledger import Settlement, never_sent
from governance.ledger.rebuilding import rebuild
from governance.ledger.rollups import Rollups
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
from tests.governance.rollups.calls import NOON, admission, settlement, unmade
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


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
