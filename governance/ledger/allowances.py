"""What was approved for one call alone: its window's limit gives way by what that call takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    standing: Standing, demand: Demand, allowances: Sequence[Allowance]
) -> tuple[Standing, Mapping[int, Used]]:
    """The budgets as they stand for a call with these allowances, and by window what would be used
    of them. One that is too small for the call, or that is not needed, gives nothing."""
    if not allowances:
        return standing, {}
    raised, used = [], {}
    for policy, key, counter in standing:
        amount = demand.amount(policy.metric)
        one = None if amount is None else _giving(allowances, policy, key, counter, amount)
        if one is not None and amount is not None:
            used[counter.window_id] = Used(one.approval_id, counter.window_id, amount)
            counter = _lifted(policy, counter, amount)  # noqa: PLW2901
        raised.append((policy, key, counter))
    return raised, used


def going_on(standing: Standing, raised: Mapping[int, int]) -> Standing:
    """The budgets as they stand for a call whose windows gave way by `raised` when it began."""
    return [
        (policy, key, _again(policy, counter, raised.get(counter.window_id, 0)))
        for policy, key, counter in standing
    ]


def taken(used: Mapping[int, Used], admission: Admission) -> tuple[Used, ...]:
    """What is used up by a call that begins."""
    return tuple(used[hold.window_id] for hold in admission.holds if hold.window_id in used)


def _giving(
    allowances: Sequence[Allowance], policy: Policy, key: WindowKey, counter: Counter, amount: int
) -> Allowance | None:
    """The smallest allowance of this window that `amount` needs and that covers it."""
    limit = policy.hard_limit
    if limit is None or not policy.enabled or policy.action == "alert":
        # It stops nothing, any more.
        return None
    if counter.used + amount <= limit + counter.raised_by:
        return None
    covering = (
        one
        for one in allowances
        if one.policy_id == policy.id
        and one.scope_value in (None, key.scope_value)
        and one.amount >= amount
    )
    return min(covering, key=lambda one: one.amount, default=None)


def _lifted(policy: Policy, counter: Counter, amount: int) -> Counter:
    """`counter` with room for `amount`, even where more is used than the limit allows: it may have
    been lowered, or a call may have cost more than was held for it."""
    beyond = max(0, counter.used - (policy.hard_limit or 0) - counter.raised_by)
    return replace(counter, raised_by=counter.raised_by + beyond + amount)


def _again(policy: Policy, counter: Counter, raised: int) -> Counter:
    if not raised:
        return counter
    return _lifted(policy, replace(counter, raised_by=counter.raised_by - raised), raised)
