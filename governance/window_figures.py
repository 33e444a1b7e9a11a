"""What the windows of budgets add up to now, by policy and scope value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from django.db.models import Case, F, Min, Q, QuerySet, Sum, Value, When, Window
from django.db.models.functions import Greatest, Length, RowNumber, Substr

from governance.budgets import OF_RUN
from governance.models import BudgetInterval, BudgetPolicy, BudgetScope, BudgetWindow
from governance.scope_names import SHARED, OfTeam
from governance.windows import Period, period, rolling_periods

# A policy for each session or run may have any number of windows; its fullest are shown.
MOST = 1000
# Of these there are as many as an operator has set up, so all are shown.
FEW = (*SHARED, BudgetScope.TEAM)
LENGTH_OF_RUN = len(OF_RUN) + len("00000000-0000-0000-0000-000000000000")


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums over the windows of one scope value, and when the first that has something began."""

    consumed: int = 0
    held: int = 0
    raised_by: int = 0
    used_since: datetime | None = None


def figures(
    policies: Iterable[BudgetPolicy], now: datetime, mine: OfTeam | None
) -> dict[int, dict[str, Figures]]:
    """By policy and scope value, how the windows of now stand, of those that a team may see if it
    is a team that asks: two queries. Of a policy for each of many, the `MOST` that used most."""
    few: list[BudgetPolicy] = []
    many: list[BudgetPolicy] = []
    for policy in policies:
        (few if _has_few(policy) else many).append(policy)
    found: dict[int, dict[str, Figures]] = {}
    rows = chain(
        _sums(few, now, mine) if few else (),
        _fullest(_sums(many, now, mine)) if many else (),
    )
    for policy_id, value, consumed, held, raised_by, since in rows:
        one = Figures(consumed, held, raised_by, since)
        found.setdefault(policy_id, {})[value] = one
    return found


def first_period(policy: BudgetPolicy, now: datetime) -> Period:
    """The window of now, or the oldest bucket that still counts."""
    if policy.rolling:
        return rolling_periods(policy.interval, now)[0]
    return period(policy.interval, policy.zone, now)


def _has_few(policy: BudgetPolicy) -> bool:
    if policy.interval == BudgetInterval.RUN:
        return False
    return bool(policy.value) or policy.scope in FEW


def _sums(
    policies: Iterable[BudgetPolicy], now: datetime, mine: OfTeam | None
) -> QuerySet[BudgetWindow, tuple[int, str, int, int, int, datetime | None]]:
    rows = BudgetWindow.objects.filter(_current(policies, now))
    if mine is not None:
        rows = _seen_by(mine, rows)
    used = Q(consumed__gt=0) | Q(held__gt=0)
    return (
        rows.order_by()
        .values("policy_id", "scope_value")
        .annotate(
            total=Sum("consumed"),
            holding=Sum("held"),
            raised=Sum("raised_by"),
            since=Min("starts_at", filter=used),
        )
        .values_list("policy_id", "scope_value", "total", "holding", "raised", "since")
    )


def _fullest(
    sums: QuerySet[BudgetWindow, tuple[int, str, int, int, int, datetime | None]],
) -> QuerySet[BudgetWindow, tuple[int, str, int, int, int, datetime | None]]:
    """Of each policy those that used most: amounts of one policy are of one kind."""
    rank = Window(
        RowNumber(),
        partition_by=[F("policy_id")],
        order_by=[(F("total") + F("holding")).desc(), F("scope_value").asc()],
    )
    return sums.alias(rank=rank).filter(rank__lte=MOST)


def _current(policies: Iterable[BudgetPolicy], now: datetime) -> Q:
    """One condition for all policies whose windows began at once: a condition for each would be
    more than SQLite parses."""
    alike: dict[tuple[str, datetime | None], list[int]] = {}
    for policy in policies:
        alike.setdefault(_beginning(policy, now), []).append(policy.pk)
    wanted = Q(pk__in=[])
    for (lookup, moment), ids in alike.items():
        wanted |= Q(policy__in=ids, **{lookup: 0 if moment is None else moment})
    return wanted


def _beginning(policy: BudgetPolicy, now: datetime) -> tuple[str, datetime | None]:
    if policy.interval == BudgetInterval.RUN:
        # Runs have no end by the calendar: what is under way is what there is now.
        return "held__gt", None
    starts_at = first_period(policy, now).starts_at
    return ("starts_at__gte" if policy.rolling else "starts_at"), starts_at


def _seen_by(mine: OfTeam, rows: QuerySet[BudgetWindow]) -> QuerySet[BudgetWindow]:
    """As `OfTeam.may_see` says, but before there are too many to look at."""
    # PostgreSQL refuses a negative length, also of a row that is left out in the end.
    length = Greatest(Length("scope_value") - LENGTH_OF_RUN, Value(0))
    of_run = When(policy__interval=BudgetInterval.RUN, then=Substr("scope_value", 1, length))
    return rows.alias(named=Case(of_run, default=F("scope_value"))).filter(
        Q(policy__team=mine.team_id)
        | Q(policy__scope__in=SHARED)
        | Q(policy__scope=BudgetScope.TEAM, named=str(mine.team_id))
        | Q(policy__scope=BudgetScope.SESSION, named__startswith=f"{mine.team_id}:")
        | Q(policy__scope=BudgetScope.USER, named=mine.person)
        | Q(policy__scope=BudgetScope.API_KEY, named__in=mine.keys)
        | Q(policy__scope=BudgetScope.JOB, named__in=mine.jobs)
    )
