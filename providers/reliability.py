"""How reliable a provider was, step by step: what its page draws. Reads the hourly metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from providers.histogram import percentile
from providers.metrics import Tally
from providers.models import Provider, ProviderMetric

HOUR = timedelta(hours=1)
HOURS, DAYS = 24, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityStep:
    """One hour or day: attempts, those that failed by class, and how long answers took (ms)."""

    since: datetime
    attempts: int
    failures: dict[str, int]
    latency_p95: float | None

    @property
    def failed(self) -> int:
        """All failures together."""
        return sum(self.failures.values())

    @property
    def answered(self) -> int:
        """What did not fail."""
        return self.attempts - self.failed


def by_hour(provider: Provider, now: datetime) -> list[ReliabilityStep]:
    """The last 24 hours with the one that runs, in order, those without calls too: one query."""
    last = now.replace(minute=0, second=0, microsecond=0)
    steps = [last - HOUR * number for number in reversed(range(HOURS))]
    tallies: dict[datetime, Tally] = {step: Tally() for step in steps}
    for row in _rows(provider, steps[0]):
        if row.hour in tallies:
            tallies[row.hour].add(Tally.of(row))
    return [_step(since, tally) for since, tally in tallies.items()]


def by_day(provider: Provider, now: datetime, zone: tzinfo) -> list[ReliabilityStep]:
    """The last seven days of `zone`, today among them, in order: one query. Where its days do not
    begin at an hour of UTC, an hour counts for the day that it begins in."""
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=number) for number in reversed(range(DAYS))]
    tallies = {one: Tally() for one in dates}
    first = datetime.combine(dates[0], datetime.min.time(), tzinfo=zone)
    for row in _rows(provider, first - HOUR):
        tally = tallies.get(row.hour.astimezone(zone).date())
        if tally is not None:
            tally.add(Tally.of(row))
    return [
        _step(datetime.combine(one, datetime.min.time(), tzinfo=zone), tally)
        for one, tally in tallies.items()
    ]


def _rows(provider: Provider, since: datetime) -> list[ProviderMetric]:
    return list(ProviderMetric.objects.filter(provider=provider, hour__gte=since))


def _step(since: datetime, tally: Tally) -> ReliabilityStep:
    return ReliabilityStep(
        since=since,
        attempts=tally.attempts,
        failures=dict(tally.failures),
        latency_p95=percentile(tally.latency, 0.95),
    )
