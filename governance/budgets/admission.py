"""What all policies say of a call together: every hold that it needs, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from governance.budgets.counters import Counter
from governance.budgets.evaluation import APPROVAL_REQUIRED, GRAVITY, BudgetEvaluation, evaluate
from governance.budgets.policies import Policy, WindowKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a call may use at most. `cost` is None if the model has no price."""

    cost: int | None
    input_tokens: int
    output_tokens: int
    requests: int = 1

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def amount(self, metric: str) -> int | None:
        """The part of it that `metric` counts."""
        amount: int | None = getattr(self, metric)
        return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An amount set aside on one window until the call is settled."""

    window_id: int
    metric: str
    amount: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a demand: either every hold it needs, or none."""

    evaluations: tuple[BudgetEvaluation, ...]
    holds: tuple[Hold, ...]

    @property
    def blocking(self) -> BudgetEvaluation | None:
        """The first policy that refuses, if one does."""
        return next(iter(self.refusals), None)

    @property
    def refusals(self) -> tuple[BudgetEvaluation, ...]:
        """The policies that refuse."""
        return tuple(said for said in self.evaluations if said.blocks)

    @property
    def may_degrade(self) -> bool:
        """Whether all that refuse would rather have the call at a cheaper model."""
        return bool(self.refusals) and all(said.action == "degrade" for said in self.refusals)

    @property
    def needs_approval(self) -> bool:
        """Whether approval is all that is missing."""
        return bool(self.refusals) and all(
            said.outcome == APPROVAL_REQUIRED for said in self.refusals
        )

    @property
    def gravest(self) -> str:
        """The outcome that says most; empty where no policy counts the call."""
        return max((said.outcome for said in self.evaluations), key=GRAVITY.index, default="")


def admit(demand: Demand, windows: Iterable[tuple[Policy, WindowKey, Counter]]) -> Admission:
    """Hold `demand` on every window, or on none of them if one has no room for it.

    A disabled policy has no say, but its window goes on counting: enabled again, it knows all.
    """
    windows = tuple(windows)
    evaluations = tuple(
        evaluate(policy, counter, demand.amount(policy.metric), key)
        for policy, key, counter in windows
        if policy.enabled
    )
    if any(said.blocks for said in evaluations):
        return Admission(evaluations, ())
    holds = tuple(
        Hold(window_id=counter.window_id, metric=policy.metric, amount=amount)
        for policy, _, counter in windows
        if (amount := demand.amount(policy.metric)) is not None
    )
    return Admission(evaluations, holds)


def largest(fits: Callable[[int], bool], lowest: int, highest: int) -> int | None:
    """The largest number from `lowest` to `highest` that fits, where whatever is smaller than one
    that fits does too; None if none does."""
    if lowest > highest or not fits(lowest):
        return None
    while lowest < highest:
        middle = (lowest + highest + 1) // 2
        if fits(middle):
            lowest = middle
        else:
            highest = middle - 1
    return lowest
