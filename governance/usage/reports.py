"""What was used: totals, by anything they are kept by, over time, and what routing saved.

Every report is exact, and takes a number of queries that does not grow with what it reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, tzinfo
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from governance.ledger.rollups import SUMS
from governance.models import ModelCall, RoutingMode, Team
from governance.usage.adding import STEP, Key, add_up
from governance.usage.frames import Frame, bounds, frame
from governance.usage.names import COLUMNS, REST, Named, named
from governance.zones import zone as zone_of

MOST_PARTS = 50
MOST_LINES = 20
Where = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Calls that ended and what they used; money is nano-dollars.

    `unpriced` counts the calls whose cost is not known: their cost is not in the sum. `cached`
    counts those that were answered from what was kept of a call just before, for nothing.
    `savings` is what the models recommended would have saved where that is only rehearsed, and
    `saved` what the models chosen saved where routing is enforced; both may be negative.
    """

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    blocked: int = 0
    denied: int = 0
    unconfirmed: int = 0
    unpriced: int = 0
    cached: int = 0
    requests: int = 0
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    overrun: int = 0
    savings: int = 0
    saved: int = 0

    @property
    def input_tokens(self) -> int:
        """Input of every kind."""
        written = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.uncached_input_tokens + self.cache_read_tokens + written


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary(Totals):
    """Totals of a period, with the calls in `calls` that are still under way."""

    in_flight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One value's part of a breakdown."""

    named: Named
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The dearest parts, the rest of them together, and the whole."""

    parts: tuple[Part, ...]
    rest: Totals
    whole: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was used in one step of a series, by one value if it has been broken down."""

    since: datetime
    until: datetime
    named: Named | None
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUsage:
    """One team's calls of one day of the zone asked for."""

    day: date
    team: str
    calls: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What routing would have saved a team had it been enforced where it is rehearsed, and what it
    saved where it is. `rehearsed_cost` and `enforced_cost` is what those calls did cost."""

    team: Named
    rehearsed_calls: int
    rehearsed_cost: int
    would_have_saved: int
    enforced_calls: int
    enforced_cost: int
    saved: int


def totals(
    *, since: datetime, until: datetime, team: Team | None = None, where: Where | None = None
) -> Totals:
    """The sums over calls admitted from `since` until before `until` that have ended: three
    queries at most."""
    found = _totals(_frame(since, until), (), _filters(team, where))
    return found.get((), Totals())


def summary(
    *, since: datetime, until: datetime, team: Team | None = None, where: Where | None = None
) -> UsageSummary:
    """The same with the calls under way: one query more."""
    ended = asdict(totals(since=since, until=until, team=team, where=where))
    under_way = _in_flight(since, until, _filters(team, where))
    return UsageSummary(**{**ended, "calls": ended["calls"] + under_way}, in_flight=under_way)


def breakdown(
    *,
    by: str,
    since: datetime,
    until: datetime,
    team: Team | None = None,
    where: Where | None = None,
    most: int = MOST_PARTS,
) -> Breakdown:
    """The same by `by`, one of `names.COLUMNS`, the dearest first: four queries at most."""
    found = _totals(_frame(since, until), COLUMNS[by], _filters(team, where))
    order = sorted(found, key=lambda key: (-found[key].cost, -found[key].calls, key))
    names = named(by, order[:most])
    return Breakdown(
        parts=tuple(Part(named=names[key], totals=found[key]) for key in order[:most]),
        rest=together(found[key] for key in order[most:]),
        whole=together(found.values()),
    )


def series(
    *,
    step: str,
    since: datetime,
    until: datetime,
    zone: tzinfo,
    by: str | None = None,
    team: Team | None = None,
    where: Where | None = None,
    most: int = MOST_LINES,
) -> list[Step]:
    """The same by time, and in each step by `by`: the dearest values, and all others together.

    Steps without calls are left out. Four queries at most. Raises `TooManySteps` and
    `OverflowError` as `frames.bounds` does.
    """
    read = frame(bounds(step, zone, since, until), timezone.now())
    columns = COLUMNS[by] if by else ()
    found = _totals(read, (STEP, *columns), _filters(team, where))
    names = _lines(by, found, most) if by else {}
    lines: dict[tuple[int, Named | None], list[Totals]] = defaultdict(list)
    for key, totals in found.items():
        lines[key[0], names.get(key[1:], REST) if by else None].append(totals)
    steps = [
        Step(
            since=read.bounds[number],
            until=read.bounds[number + 1],
            named=name,
            totals=together(totals),
        )
        for (number, name), totals in lines.items()
    ]
    return sorted(steps, key=lambda one: (one.since, one.named == REST, -one.totals.cost))


def _lines(by: str, found: Mapping[Key, Totals], most: int) -> dict[Key, Named]:
    """The dearest values of all steps together, by name."""
    whole: dict[Key, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, totals in found.items():
        cost, calls = whole[key[1:]]
        whole[key[1:]] = cost - totals.cost, calls - totals.calls
    return named(by, sorted(whole, key=lambda key: (whole[key], key))[:most])


def by_day(
    *, since: datetime, until: datetime, zone: str = "UTC", team: Team | None = None
) -> list[DayUsage]:
    """Calls and cost per day of `zone` and team, by day and team's name: four queries at most."""
    local = zone_of(zone)
    read = frame(bounds("day", local, since, until), timezone.now())
    found = add_up(read, keys=(STEP, "team_id"), sums=("calls", "cost"), where=_filters(team, None))
    names = named("team", {key[1:] for key in found})
    days = [
        DayUsage(
            day=read.bounds[number].astimezone(local).date(),
            team=names[(team_id,)].label,
            calls=calls,
            cost=cost,
        )
        for (number, team_id), (calls, cost) in found.items()
    ]
    return sorted(days, key=lambda one: (one.day, one.team))


def savings(*, since: datetime, until: datetime, team: Team | None = None) -> list[Savings]:
    """What enforcing would have saved each team, and what it did, the largest first."""
    read = _frame(since, until)
    found = _totals(read, ("team_id", "routing_mode"), _filters(team, None))
    teams = {key[:1] for key in found}
    names = named("team", teams)
    rows = [_savings(names[one], one[0], found) for one in teams]
    return sorted(rows, key=lambda one: (-one.would_have_saved - one.saved, one.team.label))


def _savings(name: Named, team_id: int, found: Mapping[Key, Totals]) -> Savings:
    rehearsed = found.get((team_id, RoutingMode.DRY_RUN.value), Totals())
    enforced = found.get((team_id, RoutingMode.ENFORCED.value), Totals())
    return Savings(
        team=name,
        rehearsed_calls=rehearsed.calls,
        rehearsed_cost=rehearsed.cost,
        would_have_saved=rehearsed.savings,
        enforced_calls=enforced.calls,
        enforced_cost=enforced.cost,
        saved=enforced.saved,
    )


def together(totals: Iterable[Totals]) -> Totals:
    """The sum of totals."""
    names = [one.name for one in fields(Totals)]
    parts = list(totals)
    return Totals(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _frame(since: datetime, until: datetime) -> Frame:
    return frame((since, until), timezone.now())


def _filters(team: Team | None, where: Where | None) -> dict[str, Any]:
    return {**(where or {}), **({"team_id": team.pk} if team else {})}


def _totals(read: Frame, keys: Sequence[str], where: Where) -> dict[Key, Totals]:
    found = add_up(read, keys=keys, sums=SUMS, where=where)
    return {key: Totals(**dict(zip(SUMS, amounts, strict=True))) for key, amounts in found.items()}


def in_flight() -> QuerySet[ModelCall]:
    """The calls under way. The status is written out, for only so does SQLite see that the small
    index of calls in flight has all of them; with a filter by time or team it would prefer another,
    so let those be of the aggregate."""
    return ModelCall.objects.order_by().extra(where=["status = 'in_flight'"])


def waiting() -> QuerySet[ModelCall]:
    """The calls that wait for approval, with what is said of `in_flight`."""
    return ModelCall.objects.order_by().extra(where=["status = 'waiting'"])


def _in_flight(since: datetime, until: datetime, where: Where) -> int:
    which = Q(admitted_at__gte=since, admitted_at__lt=until, **of_calls(where))
    return int(in_flight().aggregate(count=Count("pk", filter=which))["count"])


def of_calls(where: Where) -> dict[str, Any]:
    """Conditions on the columns of the sums, as conditions on calls."""
    conditions: dict[str, Any] = {}
    for name, value in where.items():
        column = "job_id" if name == "job" else name
        if value == 0:
            conditions[f"{column}__isnull"] = True
        else:
            conditions[column] = value
    return conditions
