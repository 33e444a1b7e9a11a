"""The providers of the overview, with what calls of the last day say of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q, Value
from django.db.models.functions import Concat

from governance.admin.periods import LAST_DAY
from governance.models import CallStatus, ModelCall, Team, UsageHour
from governance.usage import Totals, breakdown, in_flight
from palyra_site.console.dimensions import calls_address
from providers.condition import breaker_words, trouble
from providers.display import Tone
from providers.models import Provider

SHOWN_PROVIDERS = 8
MOST_COUNTED = 1000
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TROUBLED: tuple[Tone, ...] = ("bad", "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What the ledger says of a provider: calls, failures and those under way are the team's, if
    one is chosen, but for `places`: how many the provider takes at once, of all teams."""

    calls: int
    calls_address: str
    failures: int
    failures_address: str
    under_way: int
    under_way_address: str
    places: int | None
    last_failure: str
    failed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """A provider and how it is; `health` is in a word or two. `lately` is None for whoever may not
    see calls."""

    provider: Provider
    health: str
    tone: Tone
    breaker: str
    lets_pass: bool
    lately: Lately | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last failure of a provider."""

    error: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """Calls under way: all, and those begun within a day."""

    every: int = 0
    lately: int = 0


def provider_rows(
    now: datetime, team: Team | None = None, *, with_calls: bool = True
) -> list[ProviderRow]:
    """The providers with their calls and failures of the last day: eleven queries at most."""
    known = Provider.objects.select_related("probe").prefetch_related("credentials", "breakers")
    rows = [_row(one, now) for one in known.order_by("-enabled", "name")[:MOST_COUNTED]]
    # None that is in trouble is left out for want of room.
    rows.sort(key=lambda row: row.tone not in TROUBLED and row.lets_pass)
    shown = rows[:SHOWN_PROVIDERS]
    return _with_calls(shown, now, team) if with_calls else shown


def _with_calls(rows: list[ProviderRow], now: datetime, team: Team | None) -> list[ProviderRow]:
    lately = breakdown(by="provider", since=now - DAY, until=now, team=team, most=MOST_COUNTED)
    counts = {part.named.value: part.totals for part in lately.parts}
    under_way = _under_way(now, team)
    shown = [row.provider.name for row in rows]
    failed = [name for name in shown if counts.get(name, Totals()).failed]
    failures = _last_failures(failed, now, team)
    return [
        replace(
            row,
            lately=_lately(
                row.provider,
                counts.get(row.provider.name, Totals()),
                under_way.get(row.provider.name, _UnderWay()),
                failures.get(row.provider.name, _Failure()),
                team,
            ),
        )
        for row in rows
    ]


def _under_way(now: datetime, team: Team | None) -> dict[str, _UnderWay]:
    """The calls at each provider now. Grouped by what no index is of: SQLite would read all calls
    in the order of an index by provider, where there are few of these to sort."""
    whose = Q(team=team) if team else Q()
    rows = (
        in_flight()
        .values_list(Concat("provider", Value("")))
        .annotate(
            every=Count("pk", filter=whose),
            lately=Count("pk", filter=whose & Q(admitted_at__gte=now - DAY)),
        )
    )
    return {name: _UnderWay(every, lately) for name, every, lately in rows}


def _last_failures(names: Collection[str], now: datetime, team: Team | None) -> dict[str, _Failure]:
    """The last of each provider that failed within a day: sums say in which hour to look."""
    whose = Q(team_id=team.pk) if team else Q()
    failing = UsageHour.objects.filter(
        whose, hour__gt=now - DAY - HOUR, provider__in=names, failed__gt=0
    )
    hours = failing.order_by().values_list("provider").annotate(last=Max("hour"))
    within = Q(pk__in=())
    for name, hour in hours:
        within |= Q(provider=name, admitted_at__gte=hour, admitted_at__lt=hour + HOUR)
    failed = ModelCall.objects.filter(
        whose & within, status=CallStatus.FAILED, admitted_at__gte=now - DAY
    )
    latest = Q(pk__in=())
    for name, at in failed.order_by().values_list("provider").annotate(at=Max("admitted_at")):
        latest |= Q(provider=name, admitted_at=at)
    rows = ModelCall.objects.filter(whose & latest, status=CallStatus.FAILED).order_by()
    found = rows.values_list("provider", "error", "admitted_at")
    return {name: _Failure(error, at) for name, error, at in found}


def _row(provider: Provider, now: datetime) -> ProviderRow:
    breaker, lets_pass = breaker_words(provider, now)
    health, tone = _health(provider, now)
    return ProviderRow(
        provider=provider, health=health, tone=tone, breaker=breaker, lets_pass=lets_pass
    )


def _lately(
    provider: Provider, totals: Totals, under_way: _UnderWay, failure: _Failure, team: Team | None
) -> Lately:
    whose = {"team__id__exact": team.pk} if team else {}
    lately = {"period": LAST_DAY, "provider": provider.name, **whose}
    flying = CallStatus.IN_FLIGHT.value
    return Lately(
        calls=totals.calls - totals.blocked + under_way.lately,
        calls_address=calls_address(**lately, status__in=_MADE),
        failures=totals.failed,
        failures_address=calls_address(**lately, status__exact=CallStatus.FAILED.value),
        under_way=under_way.every,
        under_way_address=calls_address(provider=provider.name, status__exact=flying, **whose),
        places=provider.concurrency_limit,
        last_failure=failure.error,
        failed_at=failure.at,
    )


# What budgets refused never came to a provider.
_MADE = ",".join(
    status.value for status in CallStatus if status not in {CallStatus.BLOCKED, CallStatus.WAITING}
)


def _health(provider: Provider, now: datetime) -> tuple[str, Tone]:
    if not provider.enabled:
        return "Disabled", "quiet"
    amiss = trouble(provider, now)
    if amiss:
        return amiss, "bad"
    probe = getattr(provider, "probe", None)
    looked_at = probe is not None and probe.checked_at is not None
    return ("Healthy", "good") if looked_at else ("Not looked at yet", "quiet")
