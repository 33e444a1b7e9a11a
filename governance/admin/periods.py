"""Spans of days in the viewer's zone: a filter of lists, and what the dashboard counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` until before `until`, in UTC."""

    since: datetime
    until: datetime


def days(first: date, last: date, zone: tzinfo) -> Span:
    """The span of whole local days from `first` to `last`, both within."""
    return Span(_midnight(first, zone), _midnight(last + timedelta(days=1), zone))


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def month_start(day: date) -> date:
    """The first of the month of `day`."""
    return day.replace(day=1)


def month_before(day: date) -> date:
    """The first of the month before that of `day`."""
    return month_start(month_start(day) - timedelta(days=1))


WRITTEN = ["period_from", "period_to"]
LAST_DAY = "24h"
NAMED = {
    LAST_DAY: "Last 24 hours",
    "today": "Today",
    "yesterday": "Yesterday",
    "7days": "Last 7 days",
    "30days": "Last 30 days",
    "month": "This month",
    "last-month": "Last month",
}


def named_days(name: str, today: date) -> tuple[date, date] | None:
    """First and last day of a named span; `name` may also be a day or two, such as
    2026-03-01 or 2026-03-01..2026-03-31. None if it is neither."""
    spans = {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "7days": (today - timedelta(days=6), today),
        "30days": (today - timedelta(days=29), today),
        "month": (month_start(today), today),
        "last-month": (month_before(today), month_start(today) - timedelta(days=1)),
    }
    return spans.get(name) or _written(name)


def _written(text: str) -> tuple[date, date] | None:
    first, _, last = text.partition("..")
    try:
        span = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return None
    # A day beyond the calendar's end has no midnight after it.
    return span if span[0] <= span[1] < date.max else None


class PeriodFilter(admin.SimpleListFilter):
    """By day, in the viewer's zone: a named span, or from one day to another."""

    title = "day"
    parameter_name = "period"
    template = "admin/period_filter.html"
    field = "admitted_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return tuple(NAMED.items())

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        given = dict(params)
        first, last = _last(given.get("period_from")), _last(given.get("period_to"))
        for name in WRITTEN:
            params.pop(name, None)
        if first or last:
            params["period"] = [f"{first or last}..{last or first}"]
        super().__init__(request, params, model, model_admin)
        self.zone = timezone.get_current_timezone()
        self.chosen = named_days(self.value() or "", timezone.localdate())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == LAST_DAY:
            now = timezone.now()
            return queryset.filter(
                **{f"{self.field}__gte": now - timedelta(days=1), f"{self.field}__lt": now}
            )
        if self.chosen is None:
            return queryset
        span = days(*self.chosen, self.zone)
        return queryset.filter(
            **{f"{self.field}__gte": span.since, f"{self.field}__lt": span.until}
        )

    def choices(self, changelist: Any) -> Iterator[Any]:
        given = changelist.filter_params
        # The dates' own form starts again at the first page and keeps every other filter.
        self.kept = [
            (name, value)
            for name, values in given.items()
            if name not in {self.parameter_name, *WRITTEN}
            for value in values
        ]
        everything = changelist.get_query_string(remove=[self.parameter_name, *WRITTEN])
        yield {"selected": not self.value(), "query_string": everything, "display": "All"}
        for name, words in self.lookup_choices:
            yield {
                "selected": self.value() == name,
                "query_string": changelist.get_query_string({self.parameter_name: name}, WRITTEN),
                "display": words,
            }

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name, *WRITTEN]


def _last(value: Any) -> str:
    if isinstance(value, list):
        value = value[-1] if value else ""
    return str(value or "")
