"""What the rules look at, read with a bounded number of queries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum

from governance.alerts.rules import (
    FROM_POLICY,
    WHOLE,
    CallsFact,
    HealthFact,
    HourFact,
    MixFact,
    PriceFact,
    WindowFact,
)
from governance.models import (
    Alert,
    AlertKind,
    BudgetInterval,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    CallStatus,
    GovernanceSettings,
    ModelCall,
    Price,
    Team,
    UsageHour,
)
from governance.usage.pace import FORECAST_AFTER
from governance.windows import ROLLING
from providers.models import Breaker, BreakerState, ProviderProbe

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
USUAL = 14 * DAY
EARLIEST_SHARE = round(FORECAST_AFTER * WHOLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Every fact. `running` names the windows whose thresholds stay reached."""

    windows: tuple[WindowFact, ...]
    running: frozenset[str]
    hours: tuple[HourFact, ...]
    shares: tuple[MixFact, ...]
    providers: tuple[HealthFact, ...]
    overridden: tuple[CallsFact, ...]
    overrun: tuple[CallsFact, ...]
    unconfirmed: tuple[CallsFact, ...]
    prices: tuple[PriceFact, ...]
    spike_factor: int
    price_stale_days: int


def gather(now: datetime) -> Gathered:
    """What is so at `now`."""
    settings = GovernanceSettings.objects.first() or GovernanceSettings()
    names = dict(Team.objects.values_list("pk", "name"))
    policies = list(BudgetPolicy.objects.filter(enabled=True))
    lately = ModelCall.objects.filter(admitted_at__gt=now - DAY, admitted_at__lte=now)
    windows, running = _calendar(policies, now)
    return Gathered(
        windows=(*windows, *_rolling(policies, now)),
        running=running,
        hours=_hours(names, now),
        shares=_shares(names, now),
        providers=_providers(),
        overridden=_calls(_overridden(lately), names),
        overrun=_calls(_marked(lately, "overrun", now).filter(overrun__gt=0), names, "overrun"),
        unconfirmed=_calls(
            _marked(lately, "unconfirmed", now).filter(status=CallStatus.UNCONFIRMED), names
        ),
        prices=_prices(now),
        spike_factor=settings.spike_factor,
        price_stale_days=settings.price_stale_days,
    )


def _limit(policy: BudgetPolicy) -> int:
    limit = policy.hard_limit if policy.hard_limit is not None else policy.soft_limit
    assert limit is not None  # a constraint of the table
    return limit


def _team_of(policy: BudgetPolicy, scope_value: str) -> int | None:
    if policy.scope == BudgetScope.TEAM and scope_value.isdigit():
        return int(scope_value)
    return policy.team_id


def _calendar(
    policies: list[BudgetPolicy], now: datetime
) -> tuple[list[WindowFact], frozenset[str]]:
    """The windows that run and may be worth an alert. A run's window never ends by the clock, and
    there is one for each call: those are not looked at."""
    looked_at = {
        one.pk: one for one in policies if not one.rolling and one.interval != BudgetInterval.RUN
    }
    if not looked_at:
        return [], frozenset()
    worth = Q(pk__in=())
    for policy in looked_at.values():
        share = min((*policy.thresholds, EARLIEST_SHARE))
        worth |= Q(policy=policy, hundredfold__gte=(_limit(policy) + F("raised_by")) * share)
    running = BudgetWindow.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=now), policy__in=looked_at, starts_at__lte=now
    )
    rows = running.annotate(hundredfold=(F("consumed") + F("held")) * WHOLE).filter(worth)
    facts = [_window(looked_at[row.policy_id], row) for row in rows.order_by()]
    # Of sessions there may be very many windows: only those that open alerts name are asked for.
    open_alerts = Alert.objects.filter(kind=AlertKind.BUDGET_THRESHOLD, resolved_at=None)
    named = {str(detail.get("window")) for detail in open_alerts.values_list("detail", flat=True)}
    known = [int(name) for name in named if name.isdigit()]
    ids = running.filter(pk__in=known).order_by().values_list("pk", flat=True)
    return facts, frozenset(str(pk) for pk in ids)


def _window(policy: BudgetPolicy, row: BudgetWindow) -> WindowFact:
    return WindowFact(
        window=str(row.pk),
        policy=policy.name,
        scope_value=row.scope_value,
        team_id=_team_of(policy, row.scope_value),
        metric=policy.metric,
        limit=_limit(policy) + row.raised_by,
        used=row.consumed + row.held,
        thresholds=tuple(policy.thresholds),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


def _rolling(policies: list[BudgetPolicy], now: datetime) -> list[WindowFact]:
    """Of each rolling policy, every bucket that overlaps what it looks back on, together."""
    looked_at = {one.pk: one for one in policies if one.rolling}
    if not looked_at:
        return []
    within = Q(pk__in=())
    for policy in looked_at.values():
        back = ROLLING[policy.interval].length
        within |= Q(policy=policy, ends_at__gt=now - back, starts_at__lte=now)
    rows = BudgetWindow.objects.filter(within).order_by().values("policy", "scope_value")
    sums = rows.annotate(used=Sum(F("consumed") + F("held")), raised=Sum("raised_by"))
    return [_trailing(looked_at[row["policy"]], dict(row), now) for row in sums]


def _trailing(policy: BudgetPolicy, row: dict[str, Any], now: datetime) -> WindowFact:
    return WindowFact(
        window=f"{policy.pk}|{row['scope_value']}",
        policy=policy.name,
        scope_value=row["scope_value"],
        team_id=_team_of(policy, row["scope_value"]),
        metric=policy.metric,
        limit=_limit(policy) + row["raised"],
        used=row["used"],
        thresholds=tuple(policy.thresholds),
        starts_at=now - ROLLING[policy.interval].length,
        ends_at=None,
        rolling=True,
    )


def _hours(names: dict[int, str], now: datetime) -> tuple[HourFact, ...]:
    this = now.replace(minute=0, second=0, microsecond=0)
    last = this - timedelta(hours=1)
    before = UsageHour.objects.filter(hour__gte=last - USUAL, hour__lt=last, calls__gt=0)
    usual = {
        row["team_id"]: (row["total"], row["hours"])
        for row in before.values("team_id").annotate(
            total=Sum("cost"), hours=Count("hour", distinct=True)
        )
    }
    rows = UsageHour.objects.filter(hour=last).values("team_id").annotate(total=Sum("cost"))
    return tuple(
        HourFact(
            team_id=row["team_id"],
            team=names[row["team_id"]],
            hour=last,
            cost=row["total"],
            cost_before=usual[row["team_id"]][0],
            busy_hours=usual[row["team_id"]][1],
        )
        for row in rows
        if row["team_id"] in usual and row["team_id"] in names
    )


def _shares(names: dict[int, str], now: datetime) -> tuple[MixFact, ...]:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today, before = _mix(day, day + DAY), _mix(day - USUAL, day)
    return tuple(
        MixFact(
            team_id=team_id,
            team=names[team_id],
            model=model,
            today=today[team_id].get(model, 0),
            all_today=sum(today[team_id].values()),
            before=before[team_id].get(model, 0),
            all_before=sum(before[team_id].values()),
            day=day,
        )
        for team_id in sorted(today.keys() & before.keys() & names.keys())
        for model in sorted(today[team_id].keys() | before[team_id].keys())
    )


def _mix(begin: datetime, end: datetime) -> dict[int, dict[str, int]]:
    rows = UsageHour.objects.filter(hour__gte=begin, hour__lt=end).exclude(model="")
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows.values("team_id", "provider", "model").annotate(total=Sum("calls")):
        found[row["team_id"]][f"{row['provider']}/{row['model']}"] = row["total"]
    return found


def _providers() -> tuple[HealthFact, ...]:
    """An open breaker says more than a probe that failed."""
    found: dict[str, HealthFact] = {}
    failing = ProviderProbe.objects.filter(ok=False, provider__enabled=True)
    for probe in failing.exclude(checked_at=None).select_related("provider"):
        found[probe.provider.name] = HealthFact(
            provider=probe.provider.name, fault=probe.message, breaker_open=False, since=None
        )
    opened = Breaker.objects.filter(state=BreakerState.OPEN, provider__enabled=True)
    for one in opened.select_related("provider").order_by("opened_at"):
        found[one.provider.name] = HealthFact(
            provider=one.provider.name,
            fault=one.message,
            breaker_open=True,
            since=one.opened_at,
        )
    return tuple(found.values())


def _overridden(lately: QuerySet[ModelCall]) -> QuerySet[ModelCall]:
    """Those that a policy set the routing mode of; where none sets any, no call is looked at."""
    if not BudgetPolicy.objects.exclude(routing_mode="").exists():
        return lately.none()
    return lately.filter(decision__mode_source=FROM_POLICY)


def _marked(lately: QuerySet[ModelCall], sum_of: str, now: datetime) -> QuerySet[ModelCall]:
    """The calls of those teams and hours whose sums say that there are such; mostly there are
    none, and the ledger is not looked at."""
    marked = UsageHour.objects.filter(hour__gt=now - DAY - HOUR, **{f"{sum_of}__gt": 0})
    found = list(marked.values_list("team_id", "hour").distinct())
    if not found:
        return lately.none()
    return lately.filter(
        team_id__in={team_id for team_id, _ in found},
        admitted_at__gte=min(hour for _, hour in found),
    )


def _calls(
    calls: QuerySet[ModelCall], names: dict[int, str], amount: str = "cost"
) -> tuple[CallsFact, ...]:
    rows = calls.order_by().values("team_id", "provider", "model")
    counted = rows.annotate(calls_counted=Count("pk"), total=Sum(amount), latest=Max("admitted_at"))
    return tuple(
        CallsFact(
            team_id=row["team_id"],
            team=names[row["team_id"]],
            model=f"{row['provider']}/{row['model']}",
            calls=row["calls_counted"],
            amount=row["total"] or 0,
            latest=row["latest"],
        )
        for row in counted
        if row["team_id"] in names
    )


def _prices(now: datetime) -> tuple[PriceFact, ...]:
    hours = UsageHour.objects.filter(hour__gt=now - DAY - HOUR, calls__gt=0).order_by()
    called = set(hours.values_list("provider", "model").distinct())
    newest = Price.objects.filter(effective_from__lte=now).order_by()
    rows = newest.values_list("model__provider__name", "model__name").annotate(
        confirmed=Max("effective_from")
    )
    return tuple(
        PriceFact(model=f"{provider}/{model}", confirmed_at=confirmed)
        for provider, model, confirmed in rows
        if (provider, model) in called
    )
