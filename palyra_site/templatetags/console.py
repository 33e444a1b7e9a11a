"""How the console's templates show times, states and meters: the same as its lists do."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template

from governance import display as governance_display
from governance.models import Alert, ModelCall
from governance.standing import Standing
from providers import display
from scheduling.display import run_status, slot_moment
from scheduling.models import CronRun

register = template.Library()


@register.simple_tag
def moment_in(value: datetime | None, zone: str = "") -> str:
    """A time in that zone, or the viewer's, with the zone stated."""
    return display.moment(value, ZoneInfo(zone) if zone else None)


@register.simple_tag
def slot_in(value: datetime, zone: str) -> str:
    """A scheduled time in that zone."""
    return slot_moment(value, ZoneInfo(zone))


@register.filter
def from_now(value: datetime, now: datetime) -> str:
    """How far a time is from now: in 5 min."""
    return display.distance(value, now)


@register.filter
def separated(value: Any) -> str:
    """A whole number with separators."""
    return display.number(value)


@register.filter
def lasting(seconds: float) -> str:
    """A length of time: 90 s, 5 min."""
    return display.duration(seconds)


@register.filter
def dollars(amount: int | None) -> str:
    """US dollars; an unknown cost is not zero."""
    return governance_display.dollars(amount)


@register.simple_tag
def standing_meter(standing: Standing) -> str:
    """Consumed and held against the limit."""
    return governance_display.standing_meter(standing)


@register.simple_tag
def standing_badge(standing: Standing) -> str:
    """Where a budget stands."""
    return governance_display.standing_badge(standing)


@register.simple_tag
def standing_resets(standing: Standing) -> str:
    """When a budget starts again."""
    return governance_display.resets(standing)


@register.simple_tag
def call_badge(call: ModelCall) -> str:
    """A call's status."""
    return governance_display.call_status(call)


@register.simple_tag
def run_badge(run: CronRun) -> str:
    """A run's status."""
    return run_status(run)


@register.simple_tag
def severity_badge(alert: Alert) -> str:
    """How soon somebody should look at an alert."""
    return governance_display.severity_badge(alert)
