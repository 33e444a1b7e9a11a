"""The savings report's page: what was saved, by what and by whom, in words and bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

from governance.admin.periods import NAMED, Span, days, named_days
from governance.models import Team
from governance.money import NANO_DOLLARS
from governance.scope_names import is_number
from governance.usage.reports import Savings, savings, series
from governance.usage.worth import Worth, worth
from providers.charts import Chart, Series, bars

PERIODS = {name: NAMED[name] for name in ("7days", "30days", "month", "last-month")}
USUAL = "30days"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsShown:
    """The report of a period: `saved` is what routing and both caches saved together."""

    period: str
    periods: tuple[tuple[str, str], ...]
    team: Team | None
    worth: Worth
    teams: tuple[Savings, ...]
    chart: Chart
    rows: tuple[tuple[date, int, int, int], ...]

    @property
    def routing(self) -> int:
        """What was saved where routing is enforced."""
        return sum(one.saved for one in self.teams)

    @property
    def would(self) -> int:
        """What would have been saved where it is rehearsed."""
        return sum(one.would_have_saved for one in self.teams)

    @property
    def saved(self) -> int:
        """All of it."""
        return self.routing + self.worth.kept_answers + self.worth.prompt_cache


def savings_shown(now: datetime, *, period: str, team: str) -> SavingsShown:
    """The report, in the viewer's zone; what is not understood is the last 30 days, or all teams.
    A bounded number of queries."""
    chosen = period if period in PERIODS else USUAL
    named = named_days(chosen, timezone.localdate())
    assert named is not None
    zone = timezone.get_current_timezone()
    span = days(*named, zone)
    of = Team.objects.filter(pk=int(team)).first() if is_number(team) else None
    rows = _by_day(span, named, of)
    return SavingsShown(
        period=chosen,
        periods=tuple(PERIODS.items()),
        team=of,
        worth=worth(since=span.since, until=span.until, now=now, team=of),
        teams=tuple(savings(since=span.since, until=span.until, team=of)),
        chart=_chart(rows),
        rows=tuple(reversed(rows)),
    )


def _by_day(
    span: Span, named: tuple[date, date], team: Team | None
) -> list[tuple[date, int, int, int]]:
    """Each day with what its calls cost, what was saved and what would have been."""
    zone = timezone.get_current_timezone()
    found = series(step="day", since=span.since, until=span.until, zone=zone, team=team)
    by_day = {one.since.astimezone(zone).date(): one.totals for one in found}
    rows, day = [], named[0]
    while day <= named[1]:
        one = by_day.get(day)
        rows.append((day, one.cost, one.saved, one.savings) if one else (day, 0, 0, 0))
        day += timedelta(days=1)
    return rows


def _chart(rows: list[tuple[date, int, int, int]]) -> Chart:
    def drawn(amounts: list[int]) -> list[float]:
        # Rounded for drawing only: what is written in figures stays exact.
        return [round(amount / NANO_DOLLARS, 6) for amount in amounts]

    return bars(
        [f"{day.day} {day:%b}" for day, *_ in rows],
        [
            Series("Cost", drawn([cost for _, cost, _, _ in rows])),
            Series("Saved by routing", drawn([max(0, saved) for _, _, saved, _ in rows])),
        ],
        unit="US dollars",
    )
