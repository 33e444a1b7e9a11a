"""Spend as stacked bars and as the same in a table, drawn from one reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from governance.money import NANO_DOLLARS, dollars_text
from governance.usage.adding import Key
from governance.usage.cube import Cube
from providers.charts import options

MOST_SERIES = 5
# Told apart by lightness as well as by hue, on the light ground and on the dark one.
SERIES_COLOURS = ("#0f6f94", "#d97706", "#7c5cd6", "#3a9a6b", "#c2417c", "#7b8494")
# The address of the calls of days, of a value of the dimension if one is given; none if "".
Linked = Callable[[str, Key | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of the chart's table; `address` is the list of calls it sums."""

    text: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Spend by step, stacked by value, and the same as a table."""

    data: str
    options: str
    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[str, ...]
    total: str


@dataclass(frozen=True, slots=True)
class _Series:
    """One colour of the bars; `key` is empty for all others together."""

    label: str
    key: Key | None
    amounts: Mapping[int, int]

    @property
    def total(self) -> int:
        return sum(self.amounts.values())


def draw(found: Cube, labels: Mapping[Key, str], linked: Linked, zone: tzinfo, rest: str) -> Chart:
    """The chart of `found`, the latest step first in its table; `rest` names all others."""
    series = _series(found, labels, rest)
    spans = [days_of(since, until, zone) for since, until in found.steps]
    return Chart(
        data=json.dumps(_data(series, [_short(span) for span in spans])),
        options=json.dumps(OPTIONS),
        names=tuple(one.label for one in series),
        rows=tuple(
            _table_row(number, span, series, linked)
            for number, span in reversed(list(enumerate(spans)))
        ),
        totals=tuple(dollars_text(one.total) for one in series),
        total=dollars_text(sum(one.total for one in series)),
    )


def _series(found: Cube, labels: Mapping[Key, str], rest: str) -> list[_Series]:
    ranked = list(found.of_keys)
    # One more than fits is shown by its name rather than as “all others”.
    shown = ranked if len(ranked) == MOST_SERIES + 1 else ranked[:MOST_SERIES]
    steps = range(len(found.steps))
    series = [
        _Series(
            labels[key],
            key,
            {step: found.cells[step, key].cost for step in steps if (step, key) in found.cells},
        )
        for key in shown
    ]
    others = set(ranked[len(shown) :])
    if others:
        amounts = dict.fromkeys(steps, 0)
        for (step, key), totals in found.cells.items():
            if key in others:
                amounts[step] += totals.cost
        series.append(_Series(rest, None, amounts))
    return series


def days_of(since: datetime, until: datetime, zone: tzinfo) -> tuple[date, date]:
    """The step's first and last day."""
    last = until.astimezone(zone) - timedelta(microseconds=1)
    return since.astimezone(zone).date(), last.date()


def _short(span: tuple[date, date]) -> str:
    first, last = span
    return f"{first.day} {first:%b}" if first == last else f"{first.day} {first:%b} –"


def span_words(span: tuple[date, date]) -> str:
    """The step's days for people: Wed 4 Nov, or 1 Nov – 7 Nov."""
    first, last = span
    if first == last:
        return f"{first:%a} {first.day} {first:%b}"
    return f"{first.day} {first:%b} – {last.day} {last:%b}"


def _data(series: list[_Series], steps: list[str]) -> dict[str, Any]:
    return {
        "labels": steps,
        "datasets": [
            {
                "label": one.label,
                # Rounded for drawing only: what is written in figures stays exact.
                "data": [_drawn(one.amounts.get(step, 0)) for step in range(len(steps))],
                "backgroundColor": colour,
                "stack": "spend",
            }
            for one, colour in zip(series, SERIES_COLOURS, strict=False)
        ],
    }


def _drawn(amount: int) -> float:
    return round(amount / NANO_DOLLARS, 6)


def _table_row(
    step: int, span: tuple[date, date], series: list[_Series], linked: Linked
) -> tuple[Cell, ...]:
    period = span[0].isoformat() if span[0] == span[1] else f"{span[0]}..{span[1]}"
    cells = [Cell(text=span_words(span), address=linked(period, None))]
    for one in series:
        amount = one.amounts.get(step, 0)
        address = linked(period, one.key) if amount and one.key is not None else ""
        cells.append(Cell(text=dollars_text(amount) if amount else "–", address=address))
    whole = sum(one.amounts.get(step, 0) for one in series)
    cells.append(Cell(text=dollars_text(whole), address=linked(period, None) if whole else ""))
    return tuple(cells)


# There are more and thinner bars than in other charts.
OPTIONS = options("US dollars", bar={"maxBarThickness": 22, "barPercentage": 1}, most_labels=10)
