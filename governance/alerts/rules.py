"""Which facts are worth an alert: pure rules, each from frozen facts to conditions.

Amounts are nano-dollars, tokens or requests, as the policy's metric says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from governance.amounts import amount_text
from governance.models.alerts import AlertKind, AlertSeverity
from governance.money import dollars_text
from governance.usage.pace import at_the_end

WHOLE = 100
# An hour cheaper than this is no spike, whatever the usual one costs; and what is usual can only be
# said of a team that has been busy for half a day.
SPIKE_FLOOR = 10**9
LEAST_BUSY_HOURS = 12
# A mix is unusual where a model's share of a team's calls moved by this much, in percentage points,
# and both days and days before have enough calls to speak of shares.
MIX_MOVED = 30
MIX_CALLS_TODAY = 20
MIX_CALLS_BEFORE = 100
# Of these nobody knows since when they are true: an alert resolved by hand says in its detail, by
# this name, that it is known until it was false once.
WITHOUT_BEGINNING = AlertKind.PROVIDER_HEALTH
KNOWN = "known_until_false"
# Where a call's routing mode came from, if a budget policy set it.
FROM_POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is true now. `key` tells it from every other.

    Whoever resolved an alert of the same key after `since` knows of it already, so it is not raised
    again; where None says that this moment is unknown, not until it was false once.
    """

    kind: str
    key: str
    severity: str
    team_id: int | None
    title: str
    explanation: str
    detail: dict[str, Any] = field(default_factory=dict)
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFact:
    """A budget's window that runs, or ended just now. `limit` includes what approvals added;
    `window` names it among all: the row's id, or for a rolling policy the policy and whose it is.
    `whose` says in words whose it is, if not everyone's.
    """

    window: str
    policy: str
    scope_value: str
    whose: str
    team_id: int | None
    metric: str
    limit: int
    used: int
    thresholds: tuple[int, ...]
    starts_at: datetime
    ends_at: datetime | None
    rolling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HourFact:
    """A team's last full hour, and the hours with calls before it."""

    team_id: int
    team: str
    hour: datetime
    cost: int
    cost_before: int
    busy_hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MixFact:
    """How many of a team's calls went to a model, today and on the days before."""

    team_id: int
    team: str
    model: str
    today: int
    all_today: int
    before: int
    all_before: int
    day: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFact:
    """A provider whose breaker is open, or whose last probe failed."""

    provider: str
    fault: str
    breaker_open: bool
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsFact:
    """A team's calls to one model that have something in common, the last of them at `latest`."""

    team_id: int
    team: str
    model: str
    calls: int
    amount: int
    latest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFact:
    """The newest price of a model that was called lately."""

    model: str
    confirmed_at: datetime


def budget_thresholds(windows: Iterable[WindowFact]) -> Iterator[Condition]:
    """Each threshold that what is spoken for has reached; nothing reaches none, not even of 0."""
    for window in windows:
        if not window.used:
            continue
        for threshold in sorted(set(window.thresholds)):
            if window.used * WHOLE >= window.limit * threshold:
                yield _reached(window, threshold)


def _reached(window: WindowFact, threshold: int) -> Condition:
    used, limit = (amount_text(window.metric, one) for one in (window.used, window.limit))
    return Condition(
        kind=AlertKind.BUDGET_THRESHOLD,
        key=f"{AlertKind.BUDGET_THRESHOLD}:{window.window}:{threshold}",
        severity=AlertSeverity.CRITICAL if threshold >= WHOLE else AlertSeverity.WARNING,
        team_id=window.team_id,
        title=f"{window.policy} has reached {threshold} %"[:200],
        explanation=f"{used} of {limit} are consumed or held{_whose(window)}.",
        detail={**_window_detail(window), "threshold": threshold},
        since=window.starts_at,
    )


def forecasts(windows: Iterable[WindowFact], now: datetime) -> Iterator[Condition]:
    """Windows within their limit that would pass it if they went on as they began."""
    for window in windows:
        if window.rolling or window.ends_at is None or window.used >= window.limit:
            continue
        expected = at_the_end(window.used, window.starts_at, window.ends_at, now)
        if expected is not None and expected > window.limit:
            yield _forecast(window, expected)


def _forecast(window: WindowFact, expected: int) -> Condition:
    by_then, limit = (amount_text(window.metric, one) for one in (expected, window.limit))
    return Condition(
        kind=AlertKind.FORECAST,
        key=f"{AlertKind.FORECAST}:{window.window}",
        severity=AlertSeverity.WARNING,
        team_id=window.team_id,
        title=f"{window.policy} is on course to pass its limit"[:200],
        explanation=f"At this pace it comes to {by_then} by the window's end, and the limit is "
        f"{limit}{_whose(window)}.",
        detail={**_window_detail(window), "expected": str(expected)},
        since=window.starts_at,
    )


def _whose(window: WindowFact) -> str:
    return f", for {window.whose}" if window.whose else ""


def _window_detail(window: WindowFact) -> dict[str, Any]:
    return {
        "window": window.window,
        "policy": window.policy,
        "scope_value": window.scope_value,
        "metric": window.metric,
        "limit": str(window.limit),
        "used": str(window.used),
        "ends_at": window.ends_at.isoformat() if window.ends_at else None,
    }


def cost_spikes(hours: Iterable[HourFact], factor: int) -> Iterator[Condition]:
    """Teams whose last full hour cost `factor` times their usual hour with calls, or more."""
    for one in hours:
        if one.busy_hours < LEAST_BUSY_HOURS or one.cost < SPIKE_FLOOR:
            continue
        if one.cost * one.busy_hours < factor * one.cost_before:
            continue
        usual = one.cost_before // one.busy_hours
        yield Condition(
            kind=AlertKind.COST_SPIKE,
            key=f"{AlertKind.COST_SPIKE}:{one.team_id}:{one.hour:%Y%m%dT%H}",
            severity=AlertSeverity.WARNING,
            team_id=one.team_id,
            title=f"{one.team} spent unusually much in an hour",
            explanation=f"The hour from {one.hour:%Y-%m-%d %H:%M} UTC cost "
            f"{dollars_text(one.cost)}; a usual one costs {dollars_text(usual)}.",
            detail={"cost": str(one.cost), "usual": str(usual)},
            since=one.hour,
        )


def unusual_mixes(shares: Iterable[MixFact]) -> Iterator[Condition]:
    """Models whose share of a team's calls today is far from that of the days before."""
    for one in shares:
        if one.all_today < MIX_CALLS_TODAY or one.all_before < MIX_CALLS_BEFORE:
            continue
        today = WHOLE * one.today // one.all_today
        before = WHOLE * one.before // one.all_before
        if abs(today - before) < MIX_MOVED:
            continue
        yield Condition(
            kind=AlertKind.MODEL_MIX,
            key=f"{AlertKind.MODEL_MIX}:{one.team_id}:{one.day:%Y%m%d}:{one.model}"[:300],
            severity=AlertSeverity.INFO,
            team_id=one.team_id,
            title=f"{one.team} uses {one.model} unusually {_often(today, before)}"[:200],
            explanation=f"Today {today} % of its calls went to {one.model}; on the 14 days before "
            f"it was {before} %.",
            detail={"model": one.model, "share": today, "usual": before},
            since=one.day,
        )


def _often(today: int, before: int) -> str:
    return "often" if today > before else "rarely"


def provider_health(providers: Iterable[HealthFact]) -> Iterator[Condition]:
    """Providers that calls do not reach."""
    for one in providers:
        what = "is not called for now" if one.breaker_open else "cannot be reached"
        yield Condition(
            kind=AlertKind.PROVIDER_HEALTH,
            key=f"{AlertKind.PROVIDER_HEALTH}:{one.provider}",
            severity=AlertSeverity.CRITICAL if one.breaker_open else AlertSeverity.WARNING,
            team_id=None,
            title=f"{one.provider} {what}",
            explanation=one.fault or "It did not say why.",
            detail={"provider": one.provider, "breaker_open": one.breaker_open},
            since=one.since,
        )


def routing_overrides(calls: Iterable[CallsFact]) -> Iterator[Condition]:
    """Teams whose calls were routed in a mode that a budget set."""
    for one in calls:
        yield _of_calls(
            one,
            AlertKind.ROUTING_OVERRIDE,
            AlertSeverity.INFO,
            f"A budget routes calls of {one.team}",
            f"In the last day a budget policy set the routing mode of {_counted(one)}.",
        )


def overruns(calls: Iterable[CallsFact]) -> Iterator[Condition]:
    """Models that charged more than was held for their calls."""
    for one in calls:
        yield _of_calls(
            one,
            AlertKind.OVERRUN,
            AlertSeverity.WARNING,
            f"{one.model} cost {one.team} more than was held",
            f"In the last day {_counted(one)} went {dollars_text(one.amount)} beyond what was held "
            "for them.",
        )


def unconfirmed_calls(calls: Iterable[CallsFact]) -> Iterator[Condition]:
    """Calls of which nobody knows what they cost."""
    for one in calls:
        yield _of_calls(
            one,
            AlertKind.UNCONFIRMED_CALLS,
            AlertSeverity.WARNING,
            f"Calls of {one.team} are unconfirmed",
            f"{_counted(one).capitalize()} ended in the last day without saying what was used; "
            f"they are charged at the estimate, {dollars_text(one.amount)}.",
        )


def _counted(one: CallsFact) -> str:
    return f"{one.calls:,} {'call' if one.calls == 1 else 'calls'} to {one.model}"


def _of_calls(
    one: CallsFact, kind: AlertKind, severity: AlertSeverity, title: str, explanation: str
) -> Condition:
    return Condition(
        kind=kind,
        key=f"{kind}:{one.team_id}:{one.model}"[:300],
        severity=severity,
        team_id=one.team_id,
        title=title[:200],
        explanation=explanation,
        detail={"model": one.model, "calls": one.calls, "amount": str(one.amount)},
        since=one.latest,
    )


def stale_prices(prices: Iterable[PriceFact], days: int, now: datetime) -> Iterator[Condition]:
    """Prices of models in use that nobody confirmed or changed for `days`."""
    for one in prices:
        stale_at = one.confirmed_at + timedelta(days=days)
        if stale_at > now:
            continue
        age = (now - one.confirmed_at).days
        yield Condition(
            kind=AlertKind.STALE_PRICE,
            key=f"{AlertKind.STALE_PRICE}:{one.model}"[:300],
            severity=AlertSeverity.INFO,
            team_id=None,
            title=f"The price of {one.model} is {age} days old"[:200],
            explanation=f"It was set or confirmed on {one.confirmed_at:%Y-%m-%d}, and the model is "
            "in use. Look whether it still holds.",
            detail={"model": one.model, "days": age},
            since=stale_at,
        )
