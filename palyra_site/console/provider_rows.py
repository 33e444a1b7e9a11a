"""The providers of the overview, with what calls of the last day say of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q

from governance.admin.periods import LAST_DAY
from governance.models import CallStatus, ModelCall, UsageHour
from governance.usage import Totals, breakdown, in_flight
from palyra_site.console.spending import calls_address
from providers.condition import trouble
from providers.models import Provider

SHOWN_PROVIDERS = 8
MOST_COUNTED = 1000
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """A provider and how it did lately."""

    provider: Provider
    trouble: str
    calls: int
    calls_address: str
    failures: int
    failures_address: str
    last_failure: str
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last failure of a provider."""

    error: str = ""
    at: datetime | None = None


def provider_rows(now: datetime) -> list[ProviderRow]:
    """The providers with their calls and failures of the last day: eleven queries at most."""
    known = Provider.objects.select_related("probe").prefetch_related("credentials", "breakers")
    found = list(known.order_by("-enabled", "name")[:SHOWN_PROVIDERS])
    lately = breakdown(by="provider", since=now - DAY, until=now, most=MOST_COUNTED)
    counts = {part.named.value: part.totals for part in lately.parts}
    lately_begun = Count("pk", filter=Q(admitted_at__gte=now - DAY))
    under_way = dict(in_flight().values_list("provider").annotate(calls=lately_begun))
    failures = _last_failures([name for name, totals in counts.items() if totals.failed], now)
    return [
        _row(
            one,
            counts.get(one.name, Totals()),
            under_way.get(one.name, 0),
            failures.get(one.name, _Failure()),
            now,
        )
        for one in found
    ]


def _last_failures(names: Collection[str], now: datetime) -> dict[str, _Failure]:
    """The last of each provider that failed within a day: sums say in which hour to look."""
    failing = UsageHour.objects.filter(hour__gt=now - DAY - HOUR, provider__in=names, failed__gt=0)
    hours = failing.order_by().values_list("provider").annotate(last=Max("hour"))
    within = Q(pk__in=())
    for name, hour in hours:
        within |= Q(provider=name, admitted_at__gte=hour, admitted_at__lt=hour + HOUR)
    failed = ModelCall.objects.filter(within, status=CallStatus.FAILED, admitted_at__gte=now - DAY)
    latest = Q(pk__in=())
    for name, at in failed.order_by().values_list("provider").annotate(at=Max("admitted_at")):
        latest |= Q(provider=name, admitted_at=at)
    rows = ModelCall.objects.filter(latest, status=CallStatus.FAILED).order_by()
    found = rows.values_list("provider", "error", "admitted_at")
    return {name: _Failure(error, at) for name, error, at in found}


def _row(
    provider: Provider, totals: Totals, under_way: int, failure: _Failure, now: datetime
) -> ProviderRow:
    days = {"period": LAST_DAY, "provider": provider.name}
    return ProviderRow(
        provider=provider,
        trouble=trouble(provider, now) if provider.enabled else "",
        calls=totals.calls - totals.blocked + under_way,
        calls_address=calls_address(**days),
        failures=totals.failed,
        failures_address=calls_address(**days, status__exact=CallStatus.FAILED.value),
        last_failure=failure.error,
        failed_at=failure.at,
    )
