"""Going on with a call elsewhere: holds grow or shrink in place, leases move, limits stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from governance.budgets import Demand
from governance.leases import LeaseDemand, LeaseOption
from governance.ledger import Admitted, Reheld, Rehold, Unmade
from governance.ledger.store import LedgerStore
from governance.models import BudgetWindow, CallStatus, ModelCall, ProviderLease, Team
from providers.identifiers import new_id
from providers.models import Provider
from providers.usage import Usage
from tests.governance.small_calls import admission, settlement, window_of
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

LIMIT = 1000
PLACES = 2


@pytest.fixture
def store(db: None) -> LedgerStore:
    return LedgerStore(new_id())


def place(provider: Provider, limit: int | None = PLACES) -> LeaseDemand:
    return LeaseDemand(provider.pk, limit, (LeaseOption(None, None),))


def rehold(call_id: UUID, cost: int | None, **fields: Any) -> Rehold:
    now = admission(Team(pk=1))
    return Rehold(
        call_id=call_id,
        demand=Demand(cost=cost, input_tokens=fields.pop("tokens", 50), output_tokens=0),
        expected={**now.expected, "cost": 60},
        row={
            "provider": "other",
            "model": "m2",
            "estimate_upper": cost,
            "estimate_expected": 60,
            **fields.pop("row", {}),
        },
        expires_at=now.expires_at,
        **fields,
    )


def began(store: LedgerStore, team: Team, **fields: Any) -> UUID:
    lease = fields.pop("lease", None)
    request = replace(admission(team, **fields), lease=lease)
    (answer,) = store.execute([request])
    assert isinstance(answer, Admitted)
    assert answer.admission.blocking is None
    assert not answer.busy
    return request.call_id


def in_use(provider: Provider) -> int:
    return ProviderLease.objects.get(provider=provider, credential=None).in_use


def test_what_is_held_is_replaced_not_added(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy(hard_limit=LIMIT)
    call_id = began(store, team, cost=400)
    for cost in (900, 100, LIMIT):
        assert store.execute([rehold(call_id, cost)]) == [Reheld()]
        assert window_of(policy, team) == (0, cost)
    row = ModelCall.objects.get(pk=call_id)
    assert (row.provider, row.model, row.estimate_upper) == ("other", "m2", LIMIT)
    assert [hold["expected"] for hold in row.holds] == [60]
    store.execute([settlement(call_id, cost=70)])
    assert window_of(policy, team) == (70, 0)


def test_what_does_not_fit_is_refused_and_changes_nothing(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy(name="Monthly", hard_limit=LIMIT)
    call_id = began(store, team, cost=400)
    before = ModelCall.objects.values().get(pk=call_id)
    (answer,) = store.execute([rehold(call_id, LIMIT + 1)])
    assert isinstance(answer, Reheld)
    assert "“Monthly” allows" in answer.refusal
    assert ModelCall.objects.values().get(pk=call_id) == before
    assert window_of(policy, team) == (0, 400)


def test_a_model_without_a_price_is_not_gone_on_to_under_a_cost_budget(store: LedgerStore) -> None:
    team = make_team()
    make_policy(hard_limit=LIMIT)
    (answer,) = store.execute([rehold(began(store, team), None)])
    assert isinstance(answer, Reheld)
    assert "no price" in answer.refusal


def test_only_a_call_in_flight_goes_on(store: LedgerStore) -> None:
    team = make_team()
    call_id = began(store, team)
    store.execute([settlement(call_id)])
    for one in (call_id, new_id()):
        (answer,) = store.execute([rehold(one, 10)])
        assert isinstance(answer, Reheld)
        assert answer.refusal


def test_a_lease_is_counted_until_the_call_ends(store: LedgerStore) -> None:
    team, provider = make_team(), make_provider(concurrency_limit=PLACES)
    calls = [began(store, team, lease=place(provider)) for _ in range(PLACES)]
    request = replace(admission(team), lease=place(provider))
    (answer,) = store.execute([request])
    assert isinstance(answer, Admitted)
    assert answer.busy
    assert not ModelCall.objects.filter(pk=request.call_id).exists()
    # A place that a batch gives up is to be had in the same batch.
    results = store.execute([request, settlement(calls[0])])
    assert isinstance(results[0], Admitted)
    assert not results[0].busy
    assert in_use(provider) == PLACES
    store.execute([settlement(one) for one in (calls[1], request.call_id)])
    assert in_use(provider) == 0


def test_a_refused_budget_does_not_wait_for_a_place(store: LedgerStore) -> None:
    team, provider = make_team(), make_provider(concurrency_limit=1)
    make_policy(hard_limit=LIMIT)
    began(store, team, lease=place(provider, 1))
    request = replace(admission(team, cost=LIMIT), lease=place(provider, 1))
    (answer,) = store.execute([request])
    assert isinstance(answer, Admitted)
    assert answer.admission.blocking is not None
    assert ModelCall.objects.get(pk=request.call_id).status == CallStatus.BLOCKED


def test_a_lease_moves_with_the_call_or_stays(store: LedgerStore) -> None:
    team = make_team()
    first, second = make_provider(concurrency_limit=1), make_provider(concurrency_limit=1)
    moving = began(store, team, lease=place(first, 1))
    assert store.execute([rehold(moving, 50, lease=place(second, 1))]) == [Reheld()]
    assert (in_use(first), in_use(second)) == (0, 1)
    staying = began(store, team, lease=place(first, 1))
    (answer,) = store.execute([rehold(staying, 50, lease=place(second, 1))])
    assert isinstance(answer, Reheld)
    assert answer.refusal
    assert (in_use(first), in_use(second)) == (1, 1)
    store.execute([settlement(moving), settlement(staying)])
    assert (in_use(first), in_use(second)) == (0, 0)


def test_a_call_that_was_never_made_is_on_record_and_free(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy(hard_limit=LIMIT)
    like = admission(team)
    unmade = Unmade(
        call_id=like.call_id,
        team_id=team.pk,
        admitted_at=like.admitted_at,
        failure_class="transient_upstream",
        error="No provider.",
        row=like.row,
        attempts=[{"outcome": "skipped"}],
    )
    assert store.execute([unmade]) == [True]
    row = ModelCall.objects.get(pk=like.call_id)
    assert (row.status, row.cost, row.error) == (CallStatus.FAILED, 0, "No provider.")
    assert not BudgetWindow.objects.filter(policy=policy).exclude(held=0, consumed=0).exists()


class LedgerMachine(RuleBasedStateMachine):
    """Any order of beginnings, moves and ends, against the sums that must come out."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.store = LedgerStore(new_id())
        self.team = make_team()
        self.policy = make_policy(hard_limit=LIMIT, team=self.team)
        self.providers = [make_provider(concurrency_limit=PLACES) for _ in range(2)]
        for provider in self.providers:
            make_price(make_model(provider=provider))
        self.held: dict[UUID, tuple[int, int]] = {}
        self.consumed = 0

    @rule(target=calls, cost=st.integers(0, 500), where=st.integers(0, 1))
    def begin(self, cost: int, where: int) -> UUID:
        request = replace(admission(self.team, cost=cost), lease=place(self.providers[where]))
        (answer,) = self.store.execute([request])
        assert isinstance(answer, Admitted)
        fits = self.used + cost <= LIMIT
        room = self.under_way(where) < PLACES
        assert (answer.admission.blocking is None) == fits
        assert answer.busy == (fits and not room)
        if fits and room:
            self.held[request.call_id] = (cost, where)
        return request.call_id

    @rule(call_id=calls, cost=st.integers(0, 1100), where=st.integers(0, 1))
    def go_on(self, call_id: UUID, cost: int, where: int) -> None:
        (answer,) = self.store.execute([rehold(call_id, cost, lease=place(self.providers[where]))])
        assert isinstance(answer, Reheld)
        own = self.held.get(call_id)
        if own is None:
            assert answer.refusal
            return
        there = self.under_way(where) - (own[1] == where)
        allowed = self.used - own[0] + cost <= LIMIT and there < PLACES
        assert (answer.refusal == "") == allowed
        if allowed:
            self.held[call_id] = (cost, where)

    @rule(call_id=consumes(calls), share=st.floats(0, 1))
    def end(self, call_id: UUID, share: float) -> None:
        cost = round(self.held.get(call_id, (0, 0))[0] * share)
        (first,) = self.store.execute([settlement(call_id, cost=cost, usage=Usage())])
        assert first == (call_id in self.held)
        if self.held.pop(call_id, None) is not None:
            self.consumed += cost

    @property
    def used(self) -> int:
        return self.consumed + sum(cost for cost, _ in self.held.values())

    def under_way(self, where: int) -> int:
        return sum(one == where for _, one in self.held.values())

    @invariant()
    def the_counters_are_the_sums(self) -> None:
        windows = BudgetWindow.objects.filter(policy=self.policy)
        for window in windows:
            assert window.consumed == self.consumed
            assert window.held == sum(cost for cost, _ in self.held.values())
            assert window.consumed + window.held <= LIMIT
        for where, provider in enumerate(self.providers):
            counters = ProviderLease.objects.filter(provider=provider)
            assert sum(one.in_use for one in counters) == self.under_way(where)


def test_any_order_of_calls_comes_out_right(db: None) -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
