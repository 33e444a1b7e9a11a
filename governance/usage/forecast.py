"""What a period comes to at its end, at the pace it has had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from governance.models import BudgetPolicy, Team
from governance.standing import Standing, standings
from governance.usage.frames import last_month, month
from governance.usage.pace import at_the_end, reaches
from governance.usage.reports import totals


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendForecast:
    """The spend of the calendar month that runs; nano-dollars."""

    since: datetime
    until: datetime
    spent: int
    expected: int | None
    last_month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowForecast:
    """A budget's window that runs: what it comes to and when it reaches its limit."""

    policy: BudgetPolicy
    team: Team | None
    whose: str
    since: datetime
    until: datetime
    used: int
    limit: int
    expected: int | None
    reaches_limit_at: datetime | None


def spend(*, now: datetime, zone: tzinfo, team: Team | None = None) -> SpendForecast:
    """The month of `zone` that runs, beside the one before."""
    since, until = month(now, zone)
    spent = totals(since=since, until=until, team=team).cost
    before = last_month(now, zone)
    return SpendForecast(
        since=since,
        until=until,
        spent=spent,
        expected=at_the_end(spent, since, until, now),
        last_month=totals(since=before[0], until=before[1], team=team).cost,
    )


def windows(
    *, now: datetime, team: Team | None = None, person_id: int | None = None
) -> list[WindowForecast]:
    """The windows of budgets that end by the calendar, those nearest to their limit first: every
    team's, or what counts one team's calls with those of that person."""
    found = standings(now=now, team=team, person_id=person_id)
    return [
        _window(one, one.resets_at, now)
        for one in found
        if one.resets_at is not None and not one.policy.rolling
    ]


def _window(one: Standing, until: datetime, now: datetime) -> WindowForecast:
    used = one.consumed + one.held
    return WindowForecast(
        policy=one.policy,
        team=one.team,
        whose=one.whose,
        since=one.starts_at,
        until=until,
        used=used,
        limit=one.limit,
        expected=at_the_end(used, one.starts_at, until, now),
        reaches_limit_at=reaches(one.limit, used, one.starts_at, until, now),
    )
