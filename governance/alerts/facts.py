"""What the rules look at, read with a bounded number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

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
from governance.scope_names import names
from governance.usage.pace import FORECAST_AFTER
from governance.windows import ROLLING
from providers.models import Breaker, BreakerState, ProviderProbe

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
USUAL = 14 * DAY
# How long a window is looked at after its end: a threshold may be reached just before, and this is
# some evaluations long.
LATE = timedelta(minutes=1)
EARLIEST_SHARE = round(FORECAST_AFTER * WHOLE)
LIMIT = Coalesce("policy__hard_limit", "policy__soft_limit")
Policies = Mapping[int, BudgetPolicy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Every fact. `running` names the windows whose thresholds stay reached; `ended` are those that
    the evaluation before could not see the end of.
    """

    windows: tuple[WindowFact, ...]
    ended: tuple[WindowFact, ...]
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
    teams = dict(Team.objects.values_list("pk", "name"))
    policies = {one.pk: one for one in BudgetPolicy.objects.filter(enabled=True)}
    lately = ModelCall.objects.filter(admitted_at__gt=now - DAY, admitted_at__lte=now)
    worth = _worth_an_alert(policies)
    calendar = _named(_calendar(policies, worth, now))
    return Gathered(
        windows=(
            *(one for one in calendar if one.ends_at is None or one.ends_at > now),
            *_named(_rolling(policies, worth, now)),
        ),
        ended=tuple(one for one in calendar if one.ends_at is not None and one.ends_at <= now),
        running=_running(now),
        hours=_hours(teams, now),
        shares=_shares(teams, now),
        providers=_providers(),
        overridden=_calls(_overridden(lately), teams),
        overrun=_calls(_marked(lately, "overrun", now).filter(overrun__gt=0), teams, "overrun"),
        unconfirmed=_calls(
            _marked(lately, "unconfirmed", now).filter(status=CallStatus.UNCONFIRMED), teams
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


def _worth_an_alert(policies: Policies) -> Q:
    """Where enough of the limit is spoken for that a rule may say something. Ten conditions at the
    most, however many policies: a share is a whole percentage up to the earliest forecast's.
    """
    by_share: dict[int, list[int]] = defaultdict(list)
    for policy in policies.values():
        share = min((*policy.thresholds, EARLIEST_SHARE))
        by_share[share].append(policy.pk)
    # That of most policies is asked of every row, so that they need not be named.
    by_share.pop(EARLIEST_SHARE, None)
    worth = _spoken_for(EARLIEST_SHARE)
    for share, ids in by_share.items():
        worth |= Q(policy__in=ids) & _spoken_for(share)
    return Q(spoken__gt=0) & worth


def _spoken_for(share: int) -> Q:
    """Half a percentage point less, for the database may round: the rules are exact."""
    return Q(spoken__gte=F("limit") * ((share - 0.5) / WHOLE))


def _calendar(policies: Policies, worth: Q, now: datetime) -> list[tuple[BudgetPolicy, WindowFact]]:
    """The windows that run, or ended just now, and may be worth an alert. A run's window never ends
    by the clock, and there is one for each call: those are not looked at."""
    rows = _looked_at(now - LATE, now).annotate(
        spoken=F("consumed") + F("held"), limit=LIMIT + F("raised_by")
    )
    found = rows.filter(worth).order_by()
    return [
        (policies[row.policy_id], _window(policies[row.policy_id], row))
        for row in found
        if row.policy_id in policies
    ]


def _looked_at(since: datetime, now: datetime) -> QuerySet[BudgetWindow]:
    calendar = BudgetWindow.objects.filter(policy__enabled=True, policy__rolling=False)
    return calendar.exclude(policy__interval=BudgetInterval.RUN).filter(
        Q(ends_at=None) | Q(ends_at__gt=since), starts_at__lte=now
    )


def _running(now: datetime) -> frozenset[str]:
    """Of sessions there may be many windows: only those that open alerts name are looked for."""
    open_alerts = Alert.objects.filter(kind=AlertKind.BUDGET_THRESHOLD, resolved_at=None)
    named = {str(detail.get("window")) for detail in open_alerts.values_list("detail", flat=True)}
    known = [int(name) for name in named if name.isdigit()]
    ids = _looked_at(now, now).filter(pk__in=known).order_by().values_list("pk", flat=True)
    return frozenset(str(pk) for pk in ids)


def _window(policy: BudgetPolicy, row: BudgetWindow) -> WindowFact:
    return WindowFact(
        window=str(row.pk),
        policy=policy.name,
        scope_value=row.scope_value,
        whose="",
        team_id=_team_of(policy, row.scope_value),
        metric=policy.metric,
        limit=_limit(policy) + row.raised_by,
        used=row.consumed + row.held,
        thresholds=tuple(policy.thresholds),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


def _rolling(policies: Policies, worth: Q, now: datetime) -> list[tuple[BudgetPolicy, WindowFact]]:
    """Of each rolling policy, every bucket that overlaps what it looks back on, together."""
    within = Q(pk__in=())
    for interval, rolling in ROLLING.items():
        within |= Q(policy__interval=interval, ends_at__gt=now - rolling.length)
    buckets = BudgetWindow.objects.filter(
        within, policy__enabled=True, policy__rolling=True, starts_at__lte=now
    )
    rows = buckets.order_by().values("policy", "scope_value", given=LIMIT)
    sums = rows.annotate(
        spoken=Sum(F("consumed") + F("held")),
        raised=Sum("raised_by"),
        limit=F("given") + Sum("raised_by"),
    )
    return [
        (policies[row["policy"]], _trailing(policies[row["policy"]], dict(row), now))
        for row in sums.filter(worth)
        if row["policy"] in policies
    ]


def _trailing(policy: BudgetPolicy, row: dict[str, Any], now: datetime) -> WindowFact:
    return WindowFact(
        window=f"{policy.pk}|{row['scope_value']}",
        policy=policy.name,
        scope_value=row["scope_value"],
        whose="",
        team_id=_team_of(policy, row["scope_value"]),
        metric=policy.metric,
        limit=_limit(policy) + row["raised"],
        used=row["spoken"],
        thresholds=tuple(policy.thresholds),
        starts_at=now - ROLLING[policy.interval].length,
        ends_at=None,
        rolling=True,
    )


def _named(facts: list[tuple[BudgetPolicy, WindowFact]]) -> tuple[WindowFact, ...]:
    """The windows, with whose they are in words."""
    words = names((policy.scope, one.scope_value) for policy, one in facts)
    return tuple(
        replace(one, whose=words.whose(policy.scope, one.scope_value)) if one.scope_value else one
        for policy, one in facts
    )


def _hours(teams: dict[int, str], now: datetime) -> tuple[HourFact, ...]:
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
            team=teams[row["team_id"]],
            hour=last,
            cost=row["total"],
            cost_before=usual[row["team_id"]][0],
            busy_hours=usual[row["team_id"]][1],
        )
        for row in rows
        if row["team_id"] in usual and row["team_id"] in teams
    )


def _shares(teams: dict[int, str], now: datetime) -> tuple[MixFact, ...]:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today, before = _mix(day, day + DAY), _mix(day - USUAL, day)
    return tuple(
        MixFact(
            team_id=team_id,
            team=teams[team_id],
            model=model,
            today=today[team_id].get(model, 0),
            all_today=sum(today[team_id].values()),
            before=before[team_id].get(model, 0),
            all_before=sum(before[team_id].values()),
            day=day,
        )
        for team_id in sorted(today.keys() & before.keys() & teams.keys())
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
    calls: QuerySet[ModelCall], teams: dict[int, str], amount: str = "cost"
) -> tuple[CallsFact, ...]:
    rows = calls.order_by().values("team_id", "provider", "model")
    counted = rows.annotate(calls_counted=Count("pk"), total=Sum(amount), latest=Max("admitted_at"))
    return tuple(
        CallsFact(
            team_id=row["team_id"],
            team=teams[row["team_id"]],
            model=f"{row['provider']}/{row['model']}",
            calls=row["calls_counted"],
            amount=row["total"] or 0,
            latest=row["latest"],
        )
        for row in counted
        if row["team_id"] in teams
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
