"""What is approved for one call alone: its window gives way by what the call takes, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.ledger import Admitted
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    KeptCall,
    ModelCall,
    Team,
)
from providers.identifiers import new_id
from tests.governance.call_approvals.asking import (
    LIMIT,
    approved,
    asked,
    began,
    counters,
    fill,
    used,
)
from tests.governance.small_calls import admission
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


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
