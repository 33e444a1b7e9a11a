"""What was spent, for the overview: figures against the period before, and a chart by day."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Sum
from django.urls import reverse

from governance.admin.periods import Span, days, month_before, month_start
from governance.models import CallStatus, Team
from governance.money import NANO_DOLLARS, dollars_text
from governance.usage import DayUsage, Totals, UsageSummary, by_day, in_flight, summary, totals

CHART_DAYS = 30
MOST_SERIES = 5
OTHERS = "Other teams"
# Told apart by lightness as well as by hue, on the light ground and on the dark one.
SERIES_COLOURS = ("#0f6f94", "#d97706", "#7c5cd6", "#3a9a6b", "#c2417c", "#7b8494")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of the overview, the list it counts, and how it compares."""

    name: str
    value: str
    note: str
    address: str
    tone: str = "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of the chart's table; `address` is the list of calls it sums."""

    text: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Spend per day, stacked by team, and the same as a table."""

    data: str
    options: str
    teams: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[str, ...]
    total: str


def calls_address(**filters: Any) -> str:
    """The list of calls that `filters` leave."""
    address = reverse("admin:governance_modelcall_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def figures(now: datetime, zone: tzinfo) -> list[Figure]:
    """Spend today and this month, calls, failures and what is held: queries that are few, and read
    sums rather than calls."""
    today = now.astimezone(zone).date()
    day, month = days(today, today, zone), days(month_start(today), today, zone)
    used_today = summary(since=day.since, until=now)
    used_before = _used(_day_before(today, zone), now, day.since)
    used_month = totals(since=month.since, until=now)
    used_last_month = _used(_month_before(today, zone), now, month.since)
    return [
        Figure(
            name="Spend today",
            value=dollars_text(used_today.cost),
            note=compared(used_today.cost, used_before.cost, "yesterday by this time"),
            address=calls_address(period="today"),
        ),
        Figure(
            name="Spend this month",
            value=dollars_text(used_month.cost),
            note=compared(used_month.cost, used_last_month.cost, "last month by this day"),
            address=calls_address(period="month"),
        ),
        Figure(
            name="Calls today",
            value=f"{used_today.calls:,}",
            note=compared(used_today.calls, used_before.calls, "yesterday by this time"),
            address=calls_address(period="today"),
        ),
        _failures(used_today),
        _held(),
    ]


def _used(span: Span, now: datetime, since: datetime) -> Totals:
    """What was used in an earlier span, up to as long after its start as `now` is after `since`."""
    return totals(since=span.since, until=min(span.since + (now - since), span.until))


def _day_before(today: date, zone: tzinfo) -> Span:
    yesterday = today - timedelta(days=1)
    return days(yesterday, yesterday, zone)


def _month_before(today: date, zone: tzinfo) -> Span:
    return days(month_before(today), month_start(today) - timedelta(days=1), zone)


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


def _failures(used: UsageSummary) -> Figure:
    bad = used.failed + used.unconfirmed
    made = used.calls - used.blocked
    rate = f"{bad * 100 / made:.1f} % of the calls made today" if made else "No calls made today"
    if used.blocked:
        rate += f"; budgets refused {used.blocked:,}"
    return Figure(
        name="Failures today",
        value=f"{bad:,}",
        note=rate,
        address=calls_address(period="today", status__in="failed,unconfirmed"),
        tone="bad" if bad else "quiet",
    )


def _held() -> Figure:
    flying = in_flight().aggregate(count=Count("pk"), most=Sum("estimate_upper"))
    count = flying["count"]
    return Figure(
        name="Held now",
        value=dollars_text(flying["most"] or 0),
        note=f"{count:,} {'call' if count == 1 else 'calls'} in flight",
        address=calls_address(status__exact=CallStatus.IN_FLIGHT.value),
    )


def chart(now: datetime, zone_name: str, zone: tzinfo) -> Chart:
    """The last thirty days by day and team: five queries at most."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=CHART_DAYS - 1)
    span = days(first, today, zone)
    rows = by_day(since=span.since, until=span.until, zone=zone_name)
    numbers = dict(Team.objects.values_list("name", "pk"))
    return draw(rows, [first + timedelta(days=number) for number in range(CHART_DAYS)], numbers)


def draw(rows: Iterable[DayUsage], all_days: list[date], numbers: dict[str, int]) -> Chart:
    """The chart of `rows`; `numbers` are the teams' keys by name, for the table's links."""
    spent: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        spent[row.team][row.day] += row.cost
    ranked = sorted(spent, key=lambda team: (-sum(spent[team].values()), team))
    series = {team: spent[team] for team in ranked[:MOST_SERIES]}
    if ranked[MOST_SERIES:]:
        series[OTHERS] = {
            day: sum(spent[team][day] for team in ranked[MOST_SERIES:]) for day in all_days
        }
    totals = tuple(dollars_text(sum(by_date.values())) for by_date in series.values())
    whole = sum(sum(by_date.values()) for by_date in series.values())
    return Chart(
        data=json.dumps(_data(series, all_days)),
        options=json.dumps(OPTIONS),
        teams=tuple(series),
        rows=tuple(_table_row(day, series, numbers) for day in reversed(all_days)),
        totals=totals,
        total=dollars_text(whole),
    )


def _data(series: dict[str, dict[date, int]], all_days: list[date]) -> dict[str, Any]:
    return {
        "labels": [f"{day.day} {day:%b}" for day in all_days],
        "datasets": [
            {
                "label": team,
                # Rounded for drawing only: what is written in figures stays exact.
                "data": [_drawn(by_date.get(day, 0)) for day in all_days],
                "backgroundColor": colour,
                "stack": "spend",
            }
            for (team, by_date), colour in zip(series.items(), SERIES_COLOURS, strict=False)
        ],
    }


def _drawn(amount: int) -> float:
    return round(amount / NANO_DOLLARS, 6)


def _table_row(
    day: date, series: dict[str, dict[date, int]], numbers: dict[str, int]
) -> tuple[Cell, ...]:
    of_day = {"period": day.isoformat()}
    cells = [Cell(text=f"{day:%a} {day.day} {day:%b}", address=calls_address(**of_day))]
    for team, by_date in series.items():
        amount = by_date.get(day, 0)
        linked = amount and team in numbers
        address = calls_address(**of_day, team__id__exact=numbers[team]) if linked else ""
        cells.append(Cell(text=dollars_text(amount) if amount else "–", address=address))
    whole = sum(by_date.get(day, 0) for by_date in series.values())
    cells.append(Cell(text=dollars_text(whole), address=calls_address(**of_day) if whole else ""))
    return tuple(cells)


_TICKS = {"color": "#6b7280", "maxRotation": 0}
OPTIONS: dict[str, Any] = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "datasets": {"bar": {"maxBarThickness": 22, "categoryPercentage": 0.8, "barPercentage": 1}},
    "plugins": {
        "legend": {
            "display": True,
            "position": "bottom",
            "align": "start",
            "labels": {
                "color": "#6b7280",
                "boxWidth": 8,
                "boxHeight": 8,
                "usePointStyle": True,
                "pointStyle": "rectRounded",
            },
        }
    },
    "scales": {
        "x": {
            "stacked": True,
            "grid": {"display": False},
            "border": {"display": False},
            "ticks": {**_TICKS, "maxTicksLimit": 10},
        },
        "y": {
            "stacked": True,
            "beginAtZero": True,
            "border": {"display": False},
            "grid": {"lineWidth": 0.5},
            "title": {"display": True, "text": "US dollars", "color": "#6b7280"},
            "ticks": {**_TICKS, "maxTicksLimit": 5},
        },
    },
}
