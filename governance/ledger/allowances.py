"""What was approved for one call alone: its window's limit gives way by what that call takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from governance.budgets import Admission, Counter, Demand, Policy, WindowKey

Standing = Sequence[tuple[Policy, WindowKey, Counter]]


@dataclass(frozen=True, slots=True)
class Allowance:
    """An approval for one call that was not used yet: at most `amount` beyond the policy's limit.

    `scope_value` is None where the window is the call's own, whoever it belongs to.
    """

    approval_id: UUID
    policy_id: int
    scope_value: str | None
    amount: int


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a window's limit an allowance gave way by."""

    approval_id: UUID
    window_id: int
    amount: int


def with_allowances(
    standing: Standing, demand: Demand, allowances: Iterable[Allowance]
) -> tuple[Standing, Mapping[int, Used]]:
    """The budgets as they stand for a call with these allowances, and by window what would be used
    of them. One that is too small for the call, or that is not needed, gives nothing."""
    by_policy = {one.policy_id: one for one in allowances}
    if not by_policy:
        return standing, {}
    raised, used = [], {}
    for policy, key, counter in standing:
        one = by_policy.get(policy.id)
        amount = demand.amount(policy.metric)
        if one is not None and amount is not None and _gives(one, policy, key, counter, amount):
            used[counter.window_id] = Used(one.approval_id, counter.window_id, amount)
            counter = replace(counter, raised_by=counter.raised_by + amount)  # noqa: PLW2901
        raised.append((policy, key, counter))
    return raised, used


def taken(used: Mapping[int, Used], admission: Admission) -> tuple[Used, ...]:
    """What is used up by a call that begins."""
    return tuple(used[hold.window_id] for hold in admission.holds if hold.window_id in used)


def _gives(one: Allowance, policy: Policy, key: WindowKey, counter: Counter, amount: int) -> bool:
    if one.scope_value not in (None, key.scope_value) or amount > one.amount:
        return False
    limit = policy.hard_limit
    return limit is not None and counter.used + amount > limit + counter.raised_by
