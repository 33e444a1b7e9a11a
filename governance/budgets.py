"""Whether the budgets let a call begin: pure decisions over policies and their counters.

Amounts are nano-dollars, tokens or requests, as the policy's metric says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from governance import budget_words
from governance.windows import BEGINNING, Period, bucket, leaves_at, period, rolling_periods

# Between a scope's value and the run that a window of a run is for.
OF_RUN = "|"
# How long a policy's own commit may take after the moment it says that it counts from.
COMMIT_MARGIN = timedelta(minutes=1)
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
class Subject:
    """Whose call it is and where it goes: everything a policy's scope may ask about."""

    team_id: int
    call_id: UUID
    provider: str = ""
    model: str = ""
    api_key_id: int | None = None
    user_id: int | None = None
    session: str = ""
    job_id: UUID | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What an approval adds to every window of a scope value until it expires."""

    scope_value: str
    amount: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A budget policy as calls see it.

    `team_id` is None where every team's calls are counted. `value` names the one person, session,
    key, job, provider or model that is counted, and is empty where each has a window of its own.
    It has counted every call since `counts_since`; of those before, the ledger alone knows.
    """

    id: int
    name: str
    scope: str
    team_id: int | None
    metric: str
    interval: str
    zone: str
    soft_limit: int | None
    hard_limit: int | None
    enabled: bool = True
    value: str = ""
    rolling: bool = False
    action: str = "block"
    thresholds: tuple[int, ...] = ()
    routing_mode: str = ""
    counts_since: datetime = BEGINNING
    overrides: tuple[Override, ...] = ()

    def counts(self, subject: Subject) -> bool:
        """Whether this policy counts that call."""
        if self.team_id is not None and self.team_id != subject.team_id:
            return False
        value = scope_value(self.scope, subject)
        return value is not None and self.value in ("", value)

    def window(self, subject: Subject, at: datetime) -> WindowKey:
        """The window that counts that call, made `at`. Only for a call that it counts."""
        return self.window_of(self._value(subject), at)

    def window_of(self, scope_value: str, at: datetime) -> WindowKey:
        """The window in which calls of that scope value are counted that are made `at`."""
        counted = bucket(self.interval, at) if self.rolling else self._calendar(at)
        return WindowKey(self.id, scope_value, counted)

    def windows(self, subject: Subject, at: datetime, now: datetime) -> tuple[WindowKey, ...]:
        """Every window that says how much of this policy is used, for that call made `at`, as it is
        `now`: one by the calendar, all buckets of a rolling one."""
        if not self.rolling:
            return (self.window(subject, at),)
        own = self.window(subject, at)
        counted = rolling_periods(self.interval, max(at, now))
        keys = tuple(WindowKey(self.id, own.scope_value, one) for one in counted)
        # A call that goes on after its bucket has left is still counted on it.
        return keys if own in keys else (own, *keys)

    def must_open(self, key: WindowKey) -> bool:
        """Whether a window that is not there may have calls in it that were never counted."""
        return key.period.starts_at < self.counts_since + COMMIT_MARGIN

    def raised_by(self, scope_value: str, now: datetime) -> int:
        """What approvals until a date add to the limit now; a run has its scope value's."""
        if self.interval == "run":
            scope_value, _, _ = scope_value.rpartition(OF_RUN)
        return sum(
            one.amount
            for one in self.overrides
            if one.scope_value == scope_value and one.expires_at > now
        )

    def _calendar(self, at: datetime) -> Period:
        return period(self.interval, self.zone, at)

    def _value(self, subject: Subject) -> str:
        value = scope_value(self.scope, subject)
        assert value is not None
        if self.interval != "run":
            return value
        return f"{value}{OF_RUN}{subject.run_id or subject.call_id}"


def scope_value(scope: str, subject: Subject) -> str | None:
    """Which of its scope's values a call belongs to; None if to none of them.

    Sessions are named by their callers, so a session is one team's: `<team's id>:<session>`. A
    model is `provider/model`, everything else its identifier.
    """
    if scope == "global":
        return ""
    if scope == "session":
        return f"{subject.team_id}:{subject.session}" if subject.session else None
    if scope == "model":
        return f"{subject.provider}/{subject.model}" if subject.model else None
    value = {
        "team": subject.team_id,
        "user": subject.user_id,
        "api_key": subject.api_key_id,
        "job": subject.job_id,
        "provider": subject.provider or None,
    }[scope]
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class WindowKey:
    """Names one window: there is at most one row for it."""

    policy_id: int
    scope_value: str
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A window's row at one instant, or all buckets of a rolling one together.

    `window_id` is the row that holds are taken on. `frees_at` is when a rolling one has room again.
    """

    window_id: int
    consumed: int
    held: int
    raised_by: int = 0
    frees_at: datetime | None = None

    @property
    def used(self) -> int:
        """What is spoken for."""
        return self.consumed + self.held


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


def together(
    policy: Policy,
    key: WindowKey,
    counters: Iterable[tuple[WindowKey, Counter]],
    now: datetime,
) -> Counter:
    """How a policy stands for a call that is counted on `key`, by all windows that say so."""
    counters = tuple(counters)
    own = next(counter for one, counter in counters if one == key)
    used = [one.period for one, counter in counters if counter.used]
    frees_at = None
    if policy.rolling:
        frees_at = leaves_at(policy.interval, min(used, key=_start, default=key.period))
    return Counter(
        window_id=own.window_id,
        consumed=sum(counter.consumed for _, counter in counters),
        held=sum(counter.held for _, counter in counters),
        raised_by=sum(counter.raised_by for _, counter in counters)
        + policy.raised_by(key.scope_value, now),
        frees_at=frees_at,
    )


def _start(one: Period) -> datetime:
    return one.starts_at


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
