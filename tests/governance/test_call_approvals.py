"""What is approved for one call alone: its window gives way by what the call takes, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
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
from governance.ledger import AdmissionRequest, Admitted, Shorter, never_sent, sweeper
from governance.ledger.store import LedgerStore
from governance.models import (
    Approval,
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    KeptCall,
    ModelCall,
    Team,
)
from providers.identifiers import new_id
from tests.governance.test_ledger import admission, settlement
from tests.governance.test_reholds import rehold
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
LIMIT = 1000


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(new_id())


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def policy() -> BudgetPolicy:
    return make_policy(hard_limit=LIMIT, action="approval")


def approved(policy: BudgetPolicy, team: Team, amount: int, **fields: Any) -> Approval:
    """An approval for one call, as it is once somebody has said yes."""
    approval: Approval = Approval.objects.create(
        team=team,
        policy=policy,
        amount=amount,
        **{
            "scope_value": str(team.pk) if policy.scope == "team" else "",
            "until": "call",
            "call_id": new_id(),
            "status": "approved",
            "reason": "Blocked.",
            **fields,
        },
    )
    return approval


def asked(team: Team, cost: int, *given: Approval) -> AdmissionRequest:
    return replace(admission(team, cost=cost), approvals=tuple(one.pk for one in given))


def began(store: LedgerStore, request: AdmissionRequest) -> bool:
    (answer,) = store.execute([request])
    assert isinstance(answer, Admitted)
    return answer.admission.blocking is None


def counters(policy: BudgetPolicy) -> tuple[int, int, int]:
    """Consumed, held, and what the limit was raised by."""
    window = BudgetWindow.objects.get(policy=policy)
    return window.consumed, window.held, window.raised_by


def used(approval: Approval) -> bool:
    approval.refresh_from_db()
    return approval.window_id is not None


def fill(store: LedgerStore, team: Team, cost: int) -> UUID:
    """Another call of the team, under way."""
    request = admission(team, cost=cost)
    assert began(store, request)
    return request.call_id


def test_a_call_takes_exactly_what_was_approved_and_nobody_gains_room(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    fill(store, team, 900)
    given = approved(policy, team, 300)
    request = asked(team, 300, given)
    assert began(store, request)
    assert counters(policy) == (0, 1200, 300)
    assert used(given)
    assert ModelCall.objects.get(pk=request.call_id).holds[0]["raised"] == 300
    # What was left to others before is left to them still.
    assert not began(store, admission(team, cost=101))
    assert began(store, admission(team, cost=100))


@pytest.mark.parametrize(
    ("filled", "cost", "amount", "begins", "uses"),
    [
        pytest.param(900, 300, 299, False, False, id="too small"),
        pytest.param(900, 100, 100, True, False, id="not needed"),
        pytest.param(900, 101, 101, True, True, id="needed by one"),
        pytest.param(1000, 1, 1, True, True, id="nothing left"),
        pytest.param(0, 5000, 5000, True, True, id="larger than the limit itself"),
        pytest.param(0, 5000, 4000, False, False, id="only what is missing"),
    ],
)
def test_it_is_used_only_where_it_is_needed_and_covers_the_call(
    store: LedgerStore,
    team: Team,
    policy: BudgetPolicy,
    *,
    filled: int,
    cost: int,
    amount: int,
    begins: bool,
    uses: bool,
) -> None:
    if filled:
        fill(store, team, filled)
    given = approved(policy, team, amount)
    assert began(store, asked(team, cost, given)) is begins
    assert used(given) is uses
    assert counters(policy)[2] == (cost if uses else 0)


@pytest.mark.parametrize("change", [{"enabled": False}, {"action": "alert"}], ids=str)
def test_a_budget_that_stops_nothing_any_more_uses_none(
    store: LedgerStore, team: Team, policy: BudgetPolicy, change: dict[str, Any]
) -> None:
    given = approved(policy, team, 2000)
    for name, value in change.items():
        setattr(policy, name, value)
    policy.save()
    assert began(store, asked(team, 2000, given))
    assert not used(given)
    assert counters(policy) == (0, 2000, 0)


def test_it_is_used_once(store: LedgerStore, team: Team, policy: BudgetPolicy) -> None:
    given = approved(policy, team, 2000)
    assert began(store, asked(team, 2000, given))
    assert not began(store, asked(team, 2000, given))
    assert counters(policy) == (0, 2000, 2000)


def test_within_one_batch_it_is_used_once(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    given = approved(policy, team, 2000)
    answers = store.execute([asked(team, 2000, given) for _ in range(3)])
    begun = [one.admission.blocking is None for one in answers if isinstance(one, Admitted)]
    assert begun == [True, False, False]
    assert counters(policy) == (0, 2000, 2000)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "pending"},
        {"status": "denied"},
        {"scope_value": "somebody else's"},
        {"until": "reset", "call_id": None},
        {"until": "date", "call_id": None, "expires_at": timezone.now() - timedelta(days=1)},
    ],
    ids=str,
)
def test_only_an_approval_for_one_call_of_that_budget_counts(
    store: LedgerStore, team: Team, policy: BudgetPolicy, fields: dict[str, Any]
) -> None:
    given = approved(policy, team, 2000, **fields)
    assert not began(store, asked(team, 2000, given))
    assert not used(given)


def test_another_teams_is_ignored(store: LedgerStore, team: Team) -> None:
    everyone = make_policy(hard_limit=LIMIT, action="approval", scope="global")
    other = approved(everyone, make_team(), 2000)
    assert not began(store, asked(team, 2000, other))
    assert not used(other)
    assert began(store, asked(team, 2000, approved(everyone, team, 2000)))


def test_an_identifier_of_nothing_is_ignored(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    nothing = replace(admission(team, cost=2000), approvals=(new_id(),))
    assert not began(store, nothing)


def test_what_a_kept_call_was_given_is_its_own(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    given = approved(policy, team, 2000)
    assert given.call_id is not None
    KeptCall.objects.create(
        id=given.call_id, team=team, request={}, expires_at=timezone.now() + timedelta(days=1)
    )
    assert not began(store, asked(team, 2000, given))
    assert not used(given)


def test_of_several_the_smallest_that_covers_is_used(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    large, small, middle = (approved(policy, team, amount) for amount in (9000, 10, 3000))
    assert began(store, asked(team, 2000, large, small, middle))
    assert [used(one) for one in (large, small, middle)] == [False, False, True]


def test_a_call_may_need_one_of_each_budget(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    tokens = make_policy(metric="tokens", hard_limit=10, action="approval")
    of_cost, of_tokens = approved(policy, team, 2000), approved(tokens, team, 50)
    assert not began(store, asked(team, 2000, of_cost))
    assert not used(of_cost)
    assert began(store, asked(team, 2000, of_cost, of_tokens))
    assert (used(of_cost), used(of_tokens)) == (True, True)
    assert (counters(policy)[2], counters(tokens)[2]) == (2000, 50)


def test_another_budget_that_blocks_leaves_it_unused(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    make_policy(hard_limit=LIMIT, action="block")
    given = approved(policy, team, 2000)
    assert not began(store, asked(team, 2000, given))
    assert not used(given)
    assert counters(policy) == (0, 0, 0)


def test_each_run_is_its_own_window(store: LedgerStore, team: Team) -> None:
    of_run = make_policy(hard_limit=LIMIT, action="approval", interval="run")
    given = approved(of_run, team, 2000, scope_value=f"{team.pk}|{new_id()}")
    assert began(store, asked(team, 2000, given))
    assert used(given)


@pytest.mark.parametrize("cost", [0, 30, 300, 450], ids=["free", "less", "all", "overrun"])
def test_settling_leaves_raised_what_the_call_took(
    store: LedgerStore, team: Team, policy: BudgetPolicy, cost: int
) -> None:
    fill(store, team, 900)
    request = asked(team, 300, approved(policy, team, 300))
    assert began(store, request)
    store.execute([settlement(request.call_id, cost=cost)])
    assert counters(policy) == (cost, 900, cost)
    assert began(store, admission(team, cost=100))
    assert not began(store, admission(team, cost=1))


def test_what_was_never_sent_gives_it_back(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    given = approved(policy, team, 2000)
    request = asked(team, 2000, given)
    assert began(store, request)
    store.execute([never_sent(request.call_id, timezone.now())])
    assert counters(policy) == (0, 0, 0)
    # It was the call's, whatever became of it.
    assert used(given)


def test_a_sweep_charges_what_was_expected_and_a_late_settlement_corrects_it(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    request = asked(team, 2000, approved(policy, team, 2000))
    # No process of the store's name beats: it is taken for dead.
    assert began(store, request)
    assert store.execute(sweeper.orphans(silence_counts=True)) == [True]
    assert counters(policy) == (40, 0, 40)
    store.execute([settlement(request.call_id, cost=70)])
    assert counters(policy) == (70, 0, 70)
    assert not began(store, admission(team, cost=1001))
    assert began(store, admission(team, cost=1000))


@pytest.mark.parametrize(
    ("cost", "held", "raised"),
    [(200, 1100, 200), (300, 1200, 300), (400, 1300, 300), (401, None, None)],
)
def test_a_rehold_leaves_others_the_room_they_had(
    store: LedgerStore,
    team: Team,
    policy: BudgetPolicy,
    *,
    cost: int,
    held: int | None,
    raised: int | None,
) -> None:
    fill(store, team, 900)
    request = asked(team, 300, approved(policy, team, 300))
    assert began(store, request)
    (answer,) = store.execute([rehold(request.call_id, cost)])
    refused = bool(getattr(answer, "refusal", ""))
    assert refused is (held is None)
    assert counters(policy) == ((0, held, raised) if held is not None else (0, 1200, 300))
    store.execute([settlement(request.call_id, cost=50)])
    assert counters(policy) == (50, 900, 50)


def test_a_limit_that_is_passed_already_gives_way_as_well(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    fill(store, team, 900)
    BudgetPolicy.objects.filter(pk=policy.pk).update(hard_limit=500)
    request = asked(team, 300, approved(policy, team, 300))
    assert began(store, request)
    assert counters(policy) == (0, 1200, 300)
    for cost, refused in ((301, True), (300, False), (200, False)):
        (answer,) = store.execute([rehold(request.call_id, cost)])
        assert bool(getattr(answer, "refusal", "")) is refused
    assert counters(policy) == (0, 1100, 200)
    assert not began(store, admission(team, cost=1))
    store.execute([settlement(request.call_id, cost=50)])
    assert counters(policy) == (50, 900, 50)


def test_it_does_not_go_along_to_another_window(store: LedgerStore, team: Team) -> None:
    of_provider = make_policy(hard_limit=LIMIT, action="approval", scope="provider", value="p")
    request = asked(team, 2000, approved(of_provider, team, 2000, scope_value="p"))
    request = replace(request, subject=replace(request.subject, provider="p"))
    assert began(store, request)
    store.execute([rehold(request.call_id, 500)])
    assert counters(of_provider) == (0, 0, 0)
    store.execute([settlement(request.call_id, cost=400)])
    assert counters(of_provider) == (0, 0, 0)


def test_a_shorter_answer_uses_no_more_than_it_takes(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    make_policy(hard_limit=1500, action="block")
    given = approved(policy, team, 2000)
    request = asked(team, 2000, given)
    shorter = Shorter(
        floor=1,
        most=1999,
        demand=lambda cap: Demand(cost=cap, input_tokens=50, output_tokens=0),
        at_cap=lambda cap: replace(
            request, demand=Demand(cost=cap, input_tokens=50, output_tokens=0)
        ),
    )
    (answer,) = store.execute([replace(request, shorter=shorter)])
    assert isinstance(answer, Admitted)
    assert answer.output_cap == 1500
    assert used(given)
    assert counters(policy) == (0, 1500, 1500)
    assert began(store, admission(team, cost=0))


def test_a_shorter_answer_that_needs_no_approval_uses_none(
    store: LedgerStore, team: Team, policy: BudgetPolicy
) -> None:
    make_policy(hard_limit=600, action="block")
    given = approved(policy, team, 2000)
    request = asked(team, 2000, given)
    shorter = Shorter(
        floor=1,
        most=1999,
        demand=lambda cap: Demand(cost=cap, input_tokens=50, output_tokens=0),
        at_cap=lambda cap: replace(
            request, demand=Demand(cost=cap, input_tokens=50, output_tokens=0)
        ),
    )
    assert began(store, replace(request, shorter=shorter))
    assert not used(given)
    assert counters(policy) == (0, 600, 0)


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
