"""What one policy says of one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from governance import budget_words
from governance.budgets.counters import Counter
from governance.budgets.policies import Policy, WindowKey

OK = "ok"
SOFT_LIMIT = "soft_limit"
HARD_LIMIT = "hard_limit"
BLOCKED = "blocked"
APPROVAL_REQUIRED = "approval_required"
OVERRIDE_APPLIED = "override_applied"
UNKNOWN = "unknown"
# From what says least to what says most.
GRAVITY = (OK, SOFT_LIMIT, OVERRIDE_APPLIED, HARD_LIMIT, UNKNOWN, APPROVAL_REQUIRED, BLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetEvaluation:
    """What one policy says of one call, with the figures it said it on."""

    policy: str
    policy_id: int
    scope: str
    metric: str
    outcome: str
    soft_limit: int | None
    limit: int | None
    consumed: int
    held: int
    requested: int | None
    resets_at: datetime | None
    explanation: str
    scope_value: str = ""
    interval: str = ""
    action: str = "block"

    @property
    def blocks(self) -> bool:
        """Whether the call may not be made because of it, as it is."""
        if self.outcome == UNKNOWN:
            return self.action != "alert"
        return self.outcome in {BLOCKED, APPROVAL_REQUIRED}

    @property
    def limits_rate(self) -> bool:
        """Whether it is a rate limit: so many requests or tokens a minute."""
        return self.interval == "minute" and self.metric != "cost"

    @property
    def passes(self) -> bool:
        """Whether it is a rate that has room for such a call again in a moment."""
        return self.limits_rate and (self.requested or 0) <= (self.limit or 0)

    @property
    def remaining(self) -> int | None:
        """What the hard limit leaves after this call's hold; None without a hard limit."""
        if self.limit is None:
            return None
        return max(0, self.limit - self.consumed - self.held - (self.requested or 0))

    def share_left(self) -> float:
        """How much of the limit this call leaves, from 0 to 1; only for comparing."""
        return (self.remaining or 0) / self.limit if self.limit else 1.0

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["resets_at"] = self.resets_at.isoformat() if self.resets_at else None
        return row


def evaluate(
    policy: Policy, counter: Counter, requested: int | None, key: WindowKey
) -> BudgetEvaluation:
    """What `policy` says of a call that may use `requested`, None if that is unknown."""
    limit = None if policy.hard_limit is None else policy.hard_limit + counter.raised_by
    outcome = _outcome(policy, counter, requested, limit)
    said = BudgetEvaluation(
        policy=policy.name,
        policy_id=policy.id,
        scope=policy.scope,
        metric=policy.metric,
        outcome=outcome,
        soft_limit=policy.soft_limit,
        limit=limit,
        consumed=counter.consumed,
        held=counter.held,
        requested=requested,
        resets_at=counter.frees_at or key.period.ends_at,
        explanation="",
        scope_value=key.scope_value,
        interval=policy.interval,
        action=policy.action,
    )
    return replace(said, explanation=budget_words.explain(said, policy))


def tightest(evaluations: Iterable[BudgetEvaluation]) -> BudgetEvaluation | None:
    """The budget that has the smallest part of its limit left; None if none has a limit."""
    limited = [said for said in evaluations if said.limit]
    return min(limited, key=BudgetEvaluation.share_left, default=None)


def _outcome(policy: Policy, counter: Counter, requested: int | None, limit: int | None) -> str:
    if requested is None:
        # Unknown is not zero: an unpriced call is only let by where cost is not limited.
        return UNKNOWN if limit is not None else OK
    wanted = counter.used + requested
    if limit is not None and wanted > limit:
        return _AT_THE_LIMIT.get(policy.action, BLOCKED)
    if policy.hard_limit is not None and wanted > policy.hard_limit:
        return OVERRIDE_APPLIED
    if policy.soft_limit is not None and wanted > policy.soft_limit:
        return SOFT_LIMIT
    return OK


_AT_THE_LIMIT = {"alert": HARD_LIMIT, "approval": APPROVAL_REQUIRED}
