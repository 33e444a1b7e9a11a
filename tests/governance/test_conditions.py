"""What routing knows of budgets and places as it decides: what this process last saw of them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance import calls, snapshot
from governance.budgets import Counter, WindowKey
from governance.calls import execute
from governance.calls.conditions import remaining
from governance.leases import LeaseKey
from governance.ledger.published import FRESH, Published
from governance.models import ProviderLease
from governance.windows import BEGINNING, Period
from providers.models import Breaker
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, install
from tests.governance.test_failover import Busy, limit
from tests.governance.test_rolling import NOON, policy
from tests.providers.entries import provider_entry

KEY = WindowKey(1, "7", Period(BEGINNING, None))


def test_a_full_provider_is_known_as_one_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published()
    limited, free = provider_entry(id=1, concurrency_limit=4), provider_entry(id=2)
    assert published.pressure([limited, free]) == {}
    published.put([], {LeaseKey(1): 3, LeaseKey(1, 10): 2})
    assert published.pressure([limited, free]) == {1: 0.75}
    later = time.monotonic() + FRESH + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert published.pressure([limited, free]) == {}


def test_what_a_budget_leaves_has_what_was_approved_in_it() -> None:
    published, limited = Published(), policy(metric="cost", hard_limit=100)
    assert published.left(limited, KEY, NOON) is None
    counter = Counter(window_id=1, consumed=70, held=20, raised_by=5)
    published.put([(KEY, counter)], {})
    assert published.left(limited, KEY, NOON) == 15
    assert published.left(policy(metric="cost", hard_limit=None, soft_limit=1), KEY, NOON) is None


async def test_what_budgets_leave_is_known_once_a_call_has_asked_them(two: TwoProviders) -> None:
    request, snapshot = two.request("cheap"), two.runtime.snapshot
    published = two.runtime.ledger.published
    assert remaining(request, snapshot, published, timezone.now()) == {}
    result = await execute(request, runtime=two.runtime, settled=True)
    (said,) = result.evaluations
    held = 10**9 - (said.requested or 0)
    now = timezone.now()
    assert remaining(request, snapshot, published, now) == {two.cheap.pk: held, two.dear.pk: held}


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "alert"},
        {"enabled": False},
        {"metric": "tokens"},
        {"hard_limit": None, "soft_limit": 1},
        {"rolling": True},
    ],
)
async def test_only_what_stops_cost_by_the_calendar_is_counted(
    two: TwoProviders, fields: dict[str, object]
) -> None:
    await type(two.policy).objects.filter(pk=two.policy.pk).aupdate(**fields)
    await two.changed()
    request = two.request("cheap")
    await execute(request, runtime=two.runtime, settled=True)
    published = two.runtime.ledger.published
    assert remaining(request, two.runtime.snapshot, published, timezone.now()) == {}


async def test_a_budget_of_one_model_leaves_the_others_alone(two: TwoProviders) -> None:
    await (
        type(two.policy)
        .objects.filter(pk=two.policy.pk)
        .aupdate(scope="model", value="first/cheap")
    )
    await two.changed()
    request = two.request("cheap")
    await execute(request, runtime=two.runtime, settled=True)
    published = two.runtime.ledger.published
    found = remaining(request, two.runtime.snapshot, published, timezone.now())
    assert list(found) == [two.cheap.pk]


async def test_a_full_provider_is_not_recommended(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy()
    install(monkeypatch, first=busy, second=answer())
    two.team.routing_mode = "enforced"
    await two.team.asave()
    await limit(two, two.first)
    one = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    await busy.began.wait()
    other = await execute(two.request("dear"), runtime=two.runtime)
    assert other.decision.actual == "second/dear"
    (full,) = [one for one in other.decision.candidates if one.model == "first/cheap"]
    assert full.reason == "All places at its provider are taken."
    busy.may_end.set()
    await one


async def test_what_keeps_a_provider_from_a_call_is_foreseen(two: TwoProviders) -> None:
    await Breaker.objects.acreate(
        provider=two.first,
        state="open",
        failures=9,
        opened_at=timezone.now(),
        retry_at=timezone.now() + timedelta(hours=1),
        message="It is down.",
    )
    await ProviderLease.objects.acreate(provider=two.second, in_use=1)
    await limit(two, two.second)
    foreseen = await sync_to_async(
        lambda: calls.foresee(two.request("cheap"), snapshot.load(), timezone.now())
    )()
    why = {one.model: one.reason for one in foreseen.decision.candidates}
    assert "It is down." in why["first/cheap"]
    assert why["second/dear"] == "All places at its provider are taken."
    assert foreseen.decision.health
