"""Windows that open in the middle: of a policy just made, and of where a call goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance import processes
from governance.ledger import Reheld, sweeper
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    ModelCall,
)
from providers.identifiers import new_id
from tests.governance.ledger_calls import (
    Amounts,
    Who,
    another,
    asking,
    counters,
    ending,
    entry,
    let_in,
    moving,
    value_of,
)
from tests.support.factories import make_policy

pytestmark = pytest.mark.django_db
SCOPES = BudgetScope.values
METRICS = BudgetMetric.values
KINDS = [("day", False), ("month", False), ("total", False), ("run", False), ("hour", True)]


class TestMadeInTheMiddle:
    """A policy that is made while calls are under way stands as if it had always been there."""

    @pytest.mark.parametrize(("interval", "rolling"), KINDS)
    def test_it_counts_what_one_that_was_always_there_has_counted(
        self, store: LedgerStore, owner: UUID, who: Who, interval: str, rolling: bool
    ) -> None:
        counted = [*product(SCOPES, ["cost"]), *product(["team"], METRICS)]
        made = [
            {"scope": scope, "metric": metric, "interval": interval, "rolling": rolling}
            for scope, metric in counted
        ]
        limit = 10**9
        always = [make_policy(hard_limit=limit, **fields) for fields in made]
        now = timezone.now()
        # Each bucket takes a moment to open, so fewer have to do where there are many.
        callers = [
            who,
            *(another(who, scope) for scope in (("team", "model") if rolling else SCOPES)),
        ]
        ages = [timedelta(), timedelta(minutes=40), timedelta(minutes=90 if rolling else 1600)]
        past = [asking(one, at=now - age) for one in callers for age in ages]
        store.execute(past)
        abandoned, settled, under_way = past[::4], past[1::4], past[2::4]
        store.execute([ending(one.call_id) for one in settled])
        ModelCall.objects.filter(pk__in=[one.call_id for one in abandoned]).update(owner=new_id())
        store.execute(sweeper.orphans(silence_counts=False))

        later = [make_policy(hard_limit=limit, **fields) for fields in made]
        store.execute([asking(one) for one in callers])
        self._assert_alike(always, later, callers)

        # What they hold is their own: each is corrected, moved and settled for itself.
        elsewhere = [moving(one.call_id, Amounts(cost=900), provider="q") for one in under_way]
        assert store.execute(elsewhere) == [Reheld()] * len(elsewhere)
        store.execute([asking(replace(one, provider="q")) for one in callers])
        self._assert_alike(
            always, later, [*callers, *(replace(one, provider="q") for one in callers)]
        )
        late = [*abandoned, *under_way]
        ends = store.execute([ending(one.call_id, cost=77, left=9) for one in late])
        assert ends == [True] * len(late)
        self._assert_alike(always, later, callers)

    def _assert_alike(
        self, always: Sequence[BudgetPolicy], later: Sequence[BudgetPolicy], callers: Sequence[Who]
    ) -> None:
        now = timezone.now()
        counted = 0
        for one, other in zip(always, later, strict=True):
            ours, theirs = self._windows(one), self._windows(other)
            asked = [
                (key.scope_value, key.period.starts_at)
                for who in callers
                for key in entry(other).windows(who.subject(new_id()), now, now)
            ]
            for name in {*theirs, *(asked if one.interval != "run" else ())}:
                assert theirs.get(name, (0, 0)) == ours.get(name, (0, 0)), (str(other.scope), name)
                counted += 1
        assert counted

    def _windows(self, policy: BudgetPolicy) -> dict[tuple[str, datetime], tuple[int, int]]:
        rows = BudgetWindow.objects.filter(policy=policy)
        return {(row.scope_value, row.starts_at): (row.consumed, row.held) for row in rows}

    @pytest.mark.parametrize("scope", SCOPES)
    def test_it_blocks_by_what_was_before(self, store: LedgerStore, who: Who, scope: str) -> None:
        call = asking(who)
        store.execute([call])
        make_policy(scope=scope, hard_limit=150)
        assert let_in(store.execute([asking(who)])) == [False]
        store.execute([ending(call.call_id, cost=50)])
        assert let_in(store.execute([asking(who)])) == [True]

    def test_buckets_without_calls_cost_next_to_nothing(self, store: LedgerStore, who: Who) -> None:
        """There are 74 of them for each session, and sessions are many."""
        now = timezone.now()
        store.execute([asking(who, at=now - timedelta(days=100))])
        policy = make_policy(scope="session", interval="year", rolling=True, hard_limit=1000)
        store.execute([asking(who)])
        assert BudgetWindow.objects.filter(policy=policy).count() == 2
        others = [replace(who, session=f"{number}") for number in range(20)]
        with CaptureQueriesContext(connection) as queries:
            store.execute([asking(one) for one in others])
        assert BudgetWindow.objects.filter(policy=policy).count() == 22
        # For each session one question, and what it takes to make its own bucket.
        assert len(queries) < 20 * 12

    def test_what_a_policy_counts_can_change_until_it_has_counted(
        self, store: LedgerStore, who: Who
    ) -> None:
        policy = make_policy(scope="provider", value="another", hard_limit=150)
        long_ago = timezone.now() - timedelta(days=300)
        BudgetPolicy.objects.filter(pk=policy.pk).update(created_at=long_ago)
        policy.refresh_from_db()
        store.execute([asking(who, at=timezone.now() - timedelta(hours=5))])
        policy.hard_limit = 180
        policy.save()
        assert entry(policy).counts_since == long_ago

        policy.scope, policy.value = "job", ""
        policy.interval, policy.rolling = "day", True
        policy.full_clean()
        policy.save(update_fields=["scope", "value", "interval", "rolling"])

        # What it counts now it has not counted since then, so the ledger is asked.
        assert entry(policy).counts_since > long_ago
        assert let_in(store.execute([asking(who)])) == [False]
        assert counters(policy) == {f"{who.job}": (0, 100)}


class TestMoving:
    """A call that goes on elsewhere is counted where it goes."""

    @pytest.mark.parametrize("scope", ["provider", "model"])
    @pytest.mark.parametrize(
        ("interval", "rolling"), [("month", False), ("hour", True), ("run", False)]
    )
    def test_its_hold_leaves_the_former_place(
        self, store: LedgerStore, who: Who, scope: str, interval: str, rolling: bool
    ) -> None:
        policy = make_policy(scope=scope, interval=interval, rolling=rolling, hard_limit=1000)
        whole = make_policy(hard_limit=1000)
        here, there = who, replace(who, provider="q", model="n")
        call = asking(here)
        store.execute([call])

        assert store.execute([self._to(there, call.call_id, cost=400)]) == [Reheld()]

        names = [value_of(one, scope) for one in (here, there)]
        if interval == "run":
            names = [f"{name}|{who.run}" for name in names]
        assert counters(policy) == {names[1]: (0, 400)}
        assert counters(whole) == {f"{who.team.pk}": (0, 400)}
        # And back again, and away for good: what it was charged is the last place's.
        assert store.execute([self._to(here, call.call_id, cost=300)]) == [Reheld()]
        assert counters(policy) == {names[0]: (0, 300)}
        assert store.execute([self._to(there, call.call_id, cost=200)]) == [Reheld()]
        store.execute([ending(call.call_id, cost=55)])
        assert counters(policy) == {names[1]: (55, 0)}
        assert counters(whole) == {f"{who.team.pk}": (55, 0)}

    def test_what_it_leaves_is_free_and_what_it_takes_must_be(
        self, store: LedgerStore, who: Who
    ) -> None:
        policy = make_policy(scope="provider", hard_limit=100)
        there = replace(who, provider="q")
        moved, waits = asking(who), asking(who)
        assert let_in(store.execute([moved, waits])) == [True, False]
        full = asking(there, Amounts(cost=60))
        store.execute([full])
        (answer,) = store.execute([self._to(there, moved.call_id, cost=41)])
        assert isinstance(answer, Reheld)
        assert answer.refusal
        assert counters(policy) == {"p": (0, 100), "q": (0, 60)}
        # In one batch the place that is left is taken by the next.
        move, begin = self._to(there, moved.call_id, cost=40), asking(who)
        assert store.execute([begin, move])[1] == Reheld()
        assert counters(policy) == {"p": (0, 100), "q": (0, 100)}

    def test_swept_elsewhere_it_is_charged_there_alone(
        self, store: LedgerStore, owner: UUID, who: Who
    ) -> None:
        policy, there = make_policy(scope="model", hard_limit=1000), replace(who, provider="q")
        call = asking(who)
        store.execute([call])
        store.execute([self._to(there, call.call_id, cost=100)])
        processes.end(owner)
        store.execute(sweeper.orphans(silence_counts=False))
        assert counters(policy) == {"q/m": (40, 0)}
        store.execute([ending(call.call_id, cost=90)])
        assert counters(policy) == {"q/m": (90, 0)}

    def _to(self, there: Who, call_id: UUID, *, cost: int) -> Any:
        return moving(call_id, Amounts(cost=cost), provider=there.provider, model=there.model)
