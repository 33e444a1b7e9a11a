"""Bars for the console's pages: what Unfold's chart takes, as JSON. Pure.

A chart is never alone: whoever draws one puts a table of the same figures beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

QUIET = "#6b7280"
COLOURS = ("#2f7f9f", "#8fc3d9", "#c2740c", "#7a5ea8", "#3f8f63", "#b4493f", "#8a8f98")
LIMIT = "#b4493f"
BAR = {"maxBarThickness": 28}
MOST_LABELS = 12


@dataclass(frozen=True, slots=True)
class Series:
    """One colour's values, a value for each label; `is_line` draws it as a line across the bars."""

    name: str
    values: Sequence[float | None]
    is_line: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """`data` and `options` for a `canvas.chart`."""

    data: str
    options: str = field(repr=False)


def bars(labels: Sequence[str], series: Sequence[Series], *, unit: str) -> Chart:
    """Bars stacked by series, in their order, with the `unit` at the axis."""
    colours = iter(COLOURS)
    drawn = [_line(one) if one.is_line else _bar(one, next(colours)) for one in series]
    data = {"labels": list(labels), "datasets": drawn}
    return Chart(json.dumps(data), json.dumps(options(unit)))


def _bar(series: Series, colour: str) -> dict[str, Any]:
    return {
        "label": series.name,
        "data": list(series.values),
        "backgroundColor": colour,
        "stack": "bars",
    }


def _line(series: Series) -> dict[str, Any]:
    return {
        "type": "line",
        "label": series.name,
        "data": list(series.values),
        "borderColor": LIMIT,
        "backgroundColor": LIMIT,
        "borderDash": [6, 4],
        "borderWidth": 2,
        "pointRadius": 0,
        "stepped": "middle",
        "stack": "line",
        "order": -1,
    }


def options(
    unit: str, *, bar: Mapping[str, float] = BAR, most_labels: int = MOST_LABELS
) -> dict[str, Any]:
    """How every chart of the console looks: stacked bars with the `unit` at the axis, each like
    `bar`, with a legend below and at most so many labels along it."""
    ticks = {"color": QUIET, "maxRotation": 0}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "datasets": {"bar": {"categoryPercentage": 0.8, **bar}},
        "plugins": {"legend": _legend()},
        "scales": {
            "x": {
                "stacked": True,
                "grid": {"display": False},
                "border": {"display": False},
                "title": {"display": False, "text": ""},
                "ticks": {**ticks, "maxTicksLimit": most_labels},
            },
            "y": {
                "stacked": True,
                "beginAtZero": True,
                "border": {"display": False},
                "grid": {"lineWidth": 0.5},
                "title": {"display": True, "text": unit, "color": QUIET},
                "ticks": {**ticks, "maxTicksLimit": 5},
            },
        },
    }


def _legend() -> dict[str, Any]:
    return {
        "display": True,
        "position": "bottom",
        "align": "start",
        "labels": {
            "color": QUIET,
            "boxWidth": 8,
            "boxHeight": 8,
            "usePointStyle": True,
            "pointStyle": "rectRounded",
        },
    }
