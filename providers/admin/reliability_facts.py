"""A provider's reliability, as its page shows it: bars, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from providers.charts import Chart, Series, bars
from providers.display import NOTHING, duration, number
from providers.models import Provider
from providers.reliability import ReliabilityStep, by_day, by_hour

SPANS = {"24h": "24 hours", "7d": "7 days"}
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityRow:
    """One step, in words."""

    since: str
    attempts: str
    failed: str
    kinds: str
    latency_p95: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What is drawn, of which `span`; `rate` is the share that was answered, in words."""

    span: str
    spans: tuple[tuple[str, str], ...]
    rate: str
    chart: Chart
    rows: tuple[ReliabilityRow, ...]


def reliability(provider: Provider, span: str, now: datetime) -> Reliability | None:
    """The provider's reliability in the viewer's zone; None where nothing was tried for a week."""
    zone = timezone.get_current_timezone()
    chosen = span if span in SPANS else "24h"
    is_daily = chosen == "7d"
    days = by_day(provider, now, zone)
    if not any(one.attempts for one in days):
        return None
    steps = days if is_daily else by_hour(provider, now)
    attempts = sum(one.attempts for one in steps)
    failed = sum(one.failed for one in steps)
    names = [_name(one.since.astimezone(zone), is_daily) for one in steps]
    series = [
        Series("Answered", [one.answered for one in steps]),
        Series("Failed", [one.failed for one in steps]),
    ]
    rows = tuple(_row(name, one) for name, one in zip(names, steps, strict=True))
    rate = f"{(attempts - failed) * 100 / attempts:.1f} % of {number(attempts)}" if attempts else ""
    return Reliability(
        span=chosen,
        spans=tuple(SPANS.items()),
        rate=f"{rate} attempts were answered" if rate else "Nothing was tried",
        chart=bars(names, series, unit="attempts"),
        rows=tuple(reversed(rows)),
    )


def _name(local: datetime, is_daily: bool) -> str:
    return f"{local:%a} {local.day} {local:%b}" if is_daily else f"{local:%H:%M}"


def _row(name: str, step: ReliabilityStep) -> ReliabilityRow:
    kinds = sorted(step.failures.items(), key=lambda one: (-one[1], one[0]))
    p95 = step.latency_p95
    return ReliabilityRow(
        since=name,
        attempts=number(step.attempts) if step.attempts else NOTHING,
        failed=number(step.failed) if step.attempts else NOTHING,
        kinds=", ".join(f"{name.replace('_', ' ')} {count}" for name, count in kinds),
        latency_p95=NOTHING if p95 is None else duration(p95 / MILLISECONDS),
    )
