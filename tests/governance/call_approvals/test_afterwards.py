"""What is approved for one call, once that has ended or needs more or less than it held."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from governance.budgets import Demand
from governance.ledger import Admitted, Shorter, never_sent, sweeper
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    Team,
)
from tests.governance.call_approvals.asking import (
    LIMIT,
    approved,
    asked,
    began,
    counters,
    fill,
    used,
)
from tests.governance.small_calls import admission, settlement
from tests.governance.test_reholds import rehold
from tests.support.factories import make_policy

pytestmark = pytest.mark.django_db


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
