"""Bars for the console's pages: what Unfold's chart takes, as JSON. Pure.

A chart is never alone: whoever draws one puts a table of the same figures beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

QUIET = "#6b7280"
COLOURS = ("#2f7f9f", "#8fc3d9", "#c2740c", "#7a5ea8", "#3f8f63", "#b4493f", "#8a8f98")
LIMIT = "#b4493f"


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
    return Chart(json.dumps(data), json.dumps(_options(unit)))


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


def _options(unit: str) -> dict[str, Any]:
    ticks = {"color": QUIET, "maxRotation": 0}
    legend = {"color": QUIET, "boxWidth": 8, "boxHeight": 8, "usePointStyle": True}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "datasets": {"bar": {"maxBarThickness": 28, "categoryPercentage": 0.8}},
        "plugins": {
            "legend": {
                "display": True,
                "position": "bottom",
                "align": "start",
                "labels": {**legend, "pointStyle": "rectRounded"},
            }
        },
        "scales": {
            "x": {
                "stacked": True,
                "grid": {"display": False},
                "border": {"display": False},
                "title": {"display": False, "text": ""},
                "ticks": {**ticks, "maxTicksLimit": 12},
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
