"""The numbers at the head of the overview: each with what it is compared with and the list it
counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from django.db.models import Count, Q, Sum

from governance.admin.periods import LAST_DAY, Span, days, month_before, month_start
from governance.models import (
    BudgetInterval,
    BudgetMetric,
    BudgetScope,
    CallStatus,
    Team,
)
from governance.money import dollars_text
from governance.standing import Standing
from governance.usage import Totals, UsageSummary, in_flight, summary, totals, waiting
from governance.usage.frames import month
from governance.usage.latency import quantile
from governance.usage.pace import at_the_end
from palyra_site.console.dimensions import calls_address
from palyra_site.console.filters import Period
from providers.display import duration

DAY = timedelta(days=1)
SLOW_SHARE = 0.95
FAILED = "failed,unconfirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of the overview, the list it counts, and how it compares."""

    name: str
    value: str
    note: str
    address: str
    tone: str = "quiet"


def now_figures(
    now: datetime, zone: tzinfo, team: Team | None, standings: list[Standing] | None
) -> list[Figure]:
    """What is so whatever the period: spend today and this month, what is held, how long answers
    take. `standings` are None for whoever may not see budgets."""
    today = now.astimezone(zone).date()
    return [
        _today(now, today, zone, team),
        _this_month(now, today, zone, team, standings),
        _held(team),
        _latency(now, team),
    ]


def period_figures(now: datetime, period: Period, team: Team | None) -> list[Figure]:
    """Spend, calls, failures and kept answers of a period, against the one before it."""
    used = summary(since=period.span.since, until=period.span.until, team=team)
    before = _used(period.before.span, now, period.span.since, team)
    here = {"period": period.name, **_of_team(team)}
    calls = used.calls + _waiting(period.span, team)
    against = _against(period, now)
    return [
        Figure(
            name="Spend",
            value=dollars_text(used.cost),
            note=compared(used.cost, before.cost, against),
            address=calls_address(**here),
        ),
        Figure(
            name="Calls",
            value=f"{calls:,}",
            note=compared(used.calls, before.calls, against),
            address=calls_address(**here),
        ),
        _failures(used, here),
        _cached(used, here),
    ]


def _of_team(team: Team | None) -> dict[str, Any]:
    return {"team__id__exact": team.pk} if team else {}


def _today(now: datetime, today: date, zone: tzinfo, team: Team | None) -> Figure:
    day = days(today, today, zone)
    used = totals(since=day.since, until=day.until, team=team)
    before = _used(days(today - DAY, today - DAY, zone), now, day.since, team)
    return Figure(
        name="Spend today",
        value=dollars_text(used.cost),
        note=compared(used.cost, before.cost, "yesterday by this time"),
        address=calls_address(period="today", **_of_team(team)),
    )


def _this_month(
    now: datetime,
    today: date,
    zone: tzinfo,
    team: Team | None,
    standings: list[Standing] | None,
) -> Figure:
    since, until = month(now, zone)
    used = totals(since=since, until=until, team=team)
    first, last = month_before(today), month_start(today) - DAY
    before = _used(days(first, last, zone), now, since, team)
    limit = monthly_limit(standings or [], team)
    expected = at_the_end(used.cost, since, until, now)
    notes = [compared(used.cost, before.cost, "last month by this day")]
    if expected is not None:
        notes.append(f"at this pace {dollars_text(expected)} by its end")
    if limit is not None:
        stops = "" if limit.hard_limit is not None else ", which warns only"
        notes.insert(0, f"{limit.percent} % of the limit of {dollars_text(limit.limit)}{stops}")
    return Figure(
        name="Spend this month",
        value=dollars_text(used.cost),
        note="; ".join(notes),
        address=calls_address(period="month", **_of_team(team)),
        tone="bad" if limit is not None and limit.state == "hard_limit" else "quiet",
    )


def monthly_limit(standings: list[Standing], team: Team | None) -> Standing | None:
    """The tightest budget of a calendar month's cost of everyone, or of the team; None if there is
    none. `standings` have the tightest first."""
    scope = BudgetScope.TEAM if team else BudgetScope.GLOBAL
    return next(
        (
            one
            for one in standings
            if one.policy.scope == scope
            and one.policy.metric == BudgetMetric.COST
            and one.policy.interval == BudgetInterval.MONTH
            and not one.policy.rolling
            and (team is None or one.scope_value == str(team.pk))
        ),
        None,
    )


def _held(team: Team | None) -> Figure:
    which = Q(**({"team": team} if team else {}))
    flying = in_flight().aggregate(
        count=Count("pk", filter=which), most=Sum("estimate_upper", filter=which)
    )
    count = flying["count"]
    return Figure(
        name="Held now",
        value=dollars_text(flying["most"] or 0),
        note=f"{count:,} {'call' if count == 1 else 'calls'} in flight",
        address=calls_address(status__exact=CallStatus.IN_FLIGHT.value, **_of_team(team)),
    )


def _latency(now: datetime, team: Team | None) -> Figure:
    """Of one day only: the times of a month are very many, and nobody waits on average."""
    slow = quantile(SLOW_SHARE, since=now - DAY, until=now, team=team)
    filters: dict[str, Any] = {"period": LAST_DAY, **_of_team(team)}
    if slow is None:
        return Figure(
            name="95 % answered within",
            value="–",
            note="No answers in the last 24 hours",
            address=calls_address(**filters),
        )
    return Figure(
        name="95 % answered within",
        value=duration(slow / 1000),
        note="p95 latency of the last 24 hours; see the slower ones",
        address=calls_address(
            **filters,
            status__exact=CallStatus.SUCCEEDED.value,
            cached__exact=0,
            latency_ms__gt=round(slow),
        ),
    )


def _failures(used: UsageSummary, here: dict[str, Any]) -> Figure:
    bad = used.failed + used.unconfirmed
    made = used.calls - used.blocked - used.denied
    rate = f"Error rate {bad * 100 / made:.1f} % of the calls made" if made else "No calls made"
    if used.blocked:
        rate += f"; budgets refused {used.blocked:,}"
    return Figure(
        name="Failures",
        value=f"{bad:,}",
        note=rate,
        address=calls_address(**here, status__in=FAILED),
        tone="bad" if bad else "quiet",
    )


def _cached(used: UsageSummary, here: dict[str, Any]) -> Figure:
    answered = used.succeeded
    share = f"{used.cached * 100 / answered:.1f} % of the answers" if answered else "No answers"
    if used.input_tokens:
        read = used.cache_read_tokens * 100 / used.input_tokens
        share += f"; providers' caches read {read:.0f} % of the input"
    return Figure(
        name="Cache hits",
        value=f"{used.cached:,}",
        note=share,
        address=calls_address(**here, cached__exact=1),
    )


def _waiting(span: Span, team: Team | None) -> int:
    """Calls that wait for approval: they have not ended, so no sum has them."""
    which = Q(admitted_at__gte=span.since, admitted_at__lt=span.until, **_of_team(team))
    return int(waiting().aggregate(count=Count("pk", filter=which))["count"])


def _used(span: Span, now: datetime, since: datetime, team: Team | None) -> Totals:
    """What was used in an earlier span, up to as long after its start as `now` is after `since`."""
    until = min(span.since + max(now - since, timedelta(0)), span.until)
    return totals(since=span.since, until=until, team=team)


def _against(period: Period, now: datetime) -> str:
    """What a period is compared with, in words."""
    if period.name == "today":
        return "yesterday by this time"
    if period.name == "month":
        return "last month by this day"
    if period.name == "last-month":
        return "the month before"
    days_before = "the day before" if period.length == 1 else f"the {period.length} days before"
    return f"{days_before} by this time" if period.span.until > now else days_before


def compared(amount: int, before: int, when: str) -> str:
    """How `amount` compares with `before`, in words: 12 % more than yesterday by this time."""
    if before == 0:
        return f"Nothing {when}" if amount else f"As {when}: nothing"
    change = (
        (amount - before) * 100 // before
        if amount >= before
        else -((before - amount) * 100 // before)
    )
    if change == 0:
        return f"As {when}"
    return f"{abs(change):,} % {'more' if change > 0 else 'less'} than {when}"
