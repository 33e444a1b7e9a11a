"""What was used: sums over the ledger for reports, screens and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncDate

from governance.models import CallStatus, ModelCall, Team
from governance.zones import zone as zone_of

INPUT_COLUMNS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """Calls begun in a period and what they used. `cost` is nano-dollars.

    `unpriced` counts the calls whose cost is not known: their cost is not in the sum. `cached`
    counts those that were answered from what was kept of a call just before, for nothing.
    """

    calls: int
    succeeded: int
    failed: int
    blocked: int
    unconfirmed: int
    in_flight: int
    unpriced: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUsage:
    """One team's calls of one day of the zone asked for."""

    day: date
    team: str
    calls: int
    cost: int


def summary(*, since: datetime, until: datetime, team: Team | None = None) -> UsageSummary:
    """The sums over calls admitted from `since` until before `until`: one query."""
    counts = {
        status.value: Count("pk", filter=Q(status=status))
        for status in (
            CallStatus.SUCCEEDED,
            CallStatus.FAILED,
            CallStatus.BLOCKED,
            CallStatus.UNCONFIRMED,
            CallStatus.IN_FLIGHT,
        )
    }
    sums = calls(since=since, until=until, team=team).aggregate(
        calls=Count("pk"),
        unpriced=Count("pk", filter=Q(cost__isnull=True) & ~Q(status__in=["in_flight", "blocked"])),
        cached=Count("pk", filter=Q(cached=True)),
        input_tokens=_total(*INPUT_COLUMNS),
        output_tokens=_total("output_tokens"),
        cost=_total("cost"),
        **counts,
    )
    return UsageSummary(**sums)


def by_day(
    *, since: datetime, until: datetime, zone: str = "UTC", team: Team | None = None
) -> list[DayUsage]:
    """Calls and cost per day of `zone` and team, by day and team's name: one query."""
    rows = (
        calls(since=since, until=until, team=team)
        .annotate(day=TruncDate("admitted_at", tzinfo=zone_of(zone)), team_name=F("team__name"))
        .values("day", "team_name")
        .annotate(count=Count("pk"), total=_total("cost"))
        .order_by("day", "team_name")
    )
    return [
        DayUsage(day=row["day"], team=row["team_name"], calls=row["count"], cost=row["total"])
        for row in rows
    ]


def calls(*, since: datetime, until: datetime, team: Team | None = None) -> QuerySet[ModelCall]:
    """The calls admitted from `since` until before `until`."""
    found = ModelCall.objects.filter(admitted_at__gte=since, admitted_at__lt=until)
    return found if team is None else found.filter(team=team)


def _total(*columns: str) -> Any:
    added = sum((Coalesce(F(column), Value(0)) for column in columns), start=Value(0))
    return Coalesce(Sum(added), Value(0))
