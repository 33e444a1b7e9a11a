"""What is approved for one call, whatever else is asked and by however many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connection
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

from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    ModelCall,
    Team,
)
from providers.identifiers import new_id
from tests.governance.call_approvals.asking import LIMIT, approved, asked, began, counters, used
from tests.governance.small_calls import settlement
from tests.governance.test_reholds import rehold
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


class Approvals(RuleBasedStateMachine):
    """Calls with and without approvals: limits hold, and what was approved is nobody else's."""

    calls: Bundle[UUID] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.store = LedgerStore(new_id())
        self.team = make_team()
        self.policy = make_policy(hard_limit=LIMIT, action="approval", team=self.team)
        self.plain: dict[UUID, int] = {}
        self.own: set[UUID] = set()

    @rule(target=calls, cost=st.integers(0, 700), amount=st.integers(0, 700))
    def begin(self, cost: int, amount: int) -> UUID:
        given = [approved(self.policy, self.team, amount)] if amount else []
        request = asked(self.team, cost, *given)
        others = sum(self.plain.values())
        if began(self.store, request):
            if given and used(given[0]):
                assert others + cost > LIMIT
                assert cost <= amount
                self.own.add(request.call_id)
            else:
                assert others + cost <= LIMIT
                self.plain[request.call_id] = cost
        else:
            assert others + cost > LIMIT
            assert cost > amount
        return request.call_id

    @rule(call_id=calls, cost=st.integers(0, 900))
    def go_on(self, call_id: UUID, cost: int) -> None:
        (answer,) = self.store.execute([rehold(call_id, cost)])
        if not answer.refusal and call_id in self.own:  # type: ignore[union-attr]
            hold = ModelCall.objects.get(pk=call_id).holds[0]
            self._takes_of_its_own(call_id, hold["amount"], hold["raised"])
        elif not answer.refusal and call_id in self.plain:  # type: ignore[union-attr]
            self.plain[call_id] = cost

    @rule(call_id=consumes(calls), share=st.floats(0, 1))
    def end(self, call_id: UUID, share: float) -> None:
        held = ModelCall.objects.get(pk=call_id)
        if held.status != CallStatus.IN_FLIGHT:
            return
        cost = int(share * held.holds[0]["amount"])
        self.store.execute([settlement(call_id, cost=cost)])
        if call_id in self.own:
            self._takes_of_its_own(call_id, cost, held.holds[0]["raised"])
        else:
            self.plain[call_id] = cost

    def _takes_of_its_own(self, call_id: UUID, amount: int, approved: int) -> None:
        # What it takes beyond what was approved is taken of what all share.
        self.plain[call_id] = max(0, amount - approved)

    @invariant()
    def what_all_share_stays_within_the_limit(self) -> None:
        assert sum(self.plain.values()) <= LIMIT
        for consumed, held, raised in map(
            _counted, BudgetWindow.objects.filter(policy=self.policy)
        ):
            assert consumed + held <= LIMIT + raised
            assert consumed + held - raised == sum(self.plain.values())


def _counted(window: BudgetWindow) -> tuple[int, int, int]:
    return window.consumed, window.held, window.raised_by


def test_limits_hold_and_what_is_approved_is_nobody_elses(db: None) -> None:
    run_state_machine_as_test(
        Approvals, settings=settings(max_examples=12, stateful_step_count=15, deadline=None)
    )


@pytest.mark.django_db(transaction=True)
def test_of_several_processes_at_once_one_uses_it(team: Team, policy: BudgetPolicy) -> None:
    given = approved(policy, team, 2000)
    start = threading.Barrier(4)

    def begin(_: int) -> bool:
        start.wait()
        try:
            return began(LedgerStore(new_id()), asked(team, 2000, given))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(begin, range(4))) == [False, False, False, True]
    assert counters(policy) == (0, 2000, 2000)
