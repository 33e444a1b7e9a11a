"""What a budget policy says, in words: pure, but for `names_of`."""

from __future__ import annotations

from collections.abc import Iterable

from governance.amounts import amount_text
from governance.listing import listed
from governance.models import BudgetPolicy, BudgetScope
from governance.scope_names import Names, names

INTERVALS = {
    "run": "a run",
    "minute": "a minute",
    "hour": "an hour",
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "quarter": "a quarter",
    "year": "a year",
    "total": "in total",
}
ROLLING_INTERVALS = {
    "minute": "in any 60 seconds",
    "hour": "in any 60 minutes",
    "day": "in any 24 hours",
    "week": "in any 7 days",
    "month": "in any 30 days",
    "quarter": "in any 91 days",
    "year": "in any 365 days",
}
NOW = {
    "run": "in one run",
    "minute": "this minute",
    "hour": "this hour",
    "day": "today",
    "week": "this week",
    "month": "this month",
    "quarter": "this quarter",
    "year": "this year",
    "total": "in total",
}
ROLLING_NOW = {
    "minute": "in the last minute",
    "hour": "in the last hour",
    "day": "in the last 24 hours",
    "week": "in the last 7 days",
    "month": "in the last 30 days",
    "quarter": "in the last 91 days",
    "year": "in the last 365 days",
}
ACTIONS = {
    "alert": "only alerts past that",
    "degrade": "then uses a cheaper model that fits, else blocks",
    "block": "blocks",
    "approval": "needs approval past that",
}
ROUTING = {
    "suggest": "routing only suggests",
    "dry_run": "routing is a dry run",
    "enforced": "routing is enforced",
}
# These are not part of a team, but called by it.
CALLED = (BudgetScope.PROVIDER, BudgetScope.MODEL)
# One of these is called by its name alone, which is not to be changed at the head of a sentence.
BARE = (BudgetScope.TEAM, BudgetScope.USER, BudgetScope.MODEL)


def interval_text(policy: BudgetPolicy) -> str:
    """How long the policy counts: "a day", "in any 24 hours", "in total"."""
    words = ROLLING_INTERVALS if policy.rolling else INTERVALS
    return words[policy.interval]


def now_text(policy: BudgetPolicy) -> str:
    """What a figure of now is of: "today", "this month", "in the last hour", "in total"."""
    return (ROLLING_NOW if policy.rolling else NOW)[policy.interval]


def names_of(policies: Iterable[BudgetPolicy]) -> Names:
    """What those whom the policies name are called: at most one query for each kind."""
    return names((policy.scope, policy.value) for policy in policies)


def whose_text(policy: BudgetPolicy, known: Names) -> str:
    """Whose calls the policy counts: "each person of Search", "key Billing", "everyone together".

    `known` knows the policy's value.
    """
    if policy.scope == BudgetScope.TEAM and policy.team is not None:
        return policy.team.name
    whose = known.whose(policy.scope, policy.value)
    if policy.scope == BudgetScope.PROVIDER and policy.value:
        whose = f"provider {whose}"
    if policy.team is None:
        return whose
    return f"{whose}{', for' if policy.scope in CALLED else ' of'} {policy.team.name}"


def summary(policy: BudgetPolicy, known: Names) -> str:
    """The whole policy: "Each person of Search: at most $5.00 a day, blocks; alerts at 75 %"."""
    whose = whose_text(policy, known)
    if whose.startswith("each ") or policy.scope not in BARE:
        whose = f"{whose[0].upper()}{whose[1:]}"
    return f"{whose}: {'; '.join(_clauses(policy))}"


def _clauses(policy: BudgetPolicy) -> list[str]:
    length, clauses = interval_text(policy), []
    if policy.hard_limit is not None:
        limit = amount_text(policy.metric, policy.hard_limit)
        clauses.append(f"at most {limit} {length}, {ACTIONS[policy.action]}")
    if policy.soft_limit is not None:
        limit = amount_text(policy.metric, policy.soft_limit)
        clauses.append(f"warns from {limit}" if clauses else f"only warns, from {limit} {length}")
    if policy.thresholds:
        clauses.append(f"alerts at {listed(policy.thresholds)} %")
    if policy.routing_mode:
        clauses.append(ROUTING[policy.routing_mode])
    return clauses
