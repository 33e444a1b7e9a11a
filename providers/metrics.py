"""How attempts went, per provider and model: counted in memory, written every few seconds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from providers.forgetting import Forgotten, GoesOn, forget
from providers.histogram import bucket, percentile
from providers.models import Provider, ProviderMetric

HISTOGRAMS = ("latency", "first_token")
COUNTS = ("attempts", "output_tokens", "answering_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A provider's model over some hours. Times are milliseconds; None is not measured."""

    provider: str
    model: str
    attempts: int
    failures: dict[str, int]
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    first_token_p95: float | None
    tokens_per_second: float | None


@dataclass(slots=True)
class Tally:
    """What some attempts at one model came to. `answering_ms` is that of answers whose output
    tokens are known."""

    attempts: int = 0
    output_tokens: int = 0
    answering_ms: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    first_token: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what `other` counted as well."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("failures", *HISTOGRAMS):
            getattr(self, name).update(getattr(other, name))

    def columns(self) -> dict[str, Any]:
        """As a row keeps it: JSON's names are text."""
        histograms = {
            name: {str(number): count for number, count in getattr(self, name).items()}
            for name in HISTOGRAMS
        }
        counts = {name: getattr(self, name) for name in COUNTS}
        return {**counts, **histograms, "failures": dict(self.failures)}

    @classmethod
    def of(cls, row: Any) -> Tally:
        """What a row keeps."""
        return cls(
            failures=Counter(row.failures),
            latency=_numbered(row.latency),
            first_token=_numbered(row.first_token),
            **{name: getattr(row, name) for name in COUNTS},
        )


def _numbered(counts: dict[str, int]) -> Counter[int]:
    return Counter({int(number): count for number, count in counts.items()})


# Provider, model, hour.
Key = tuple[int, str, datetime]


class MetricsRecorder:
    """Counts attempts; `flush` adds what was counted to the database's rows."""

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[Key, Tally] = {}

    def answered(
        self,
        provider_id: int,
        model: str,
        *,
        latency_ms: int,
        first_token_ms: int | None = None,
        output_tokens: int = 0,
    ) -> None:
        """Count an answer: how long it took, and how long until it began where it was streamed."""
        tally = Tally(attempts=1, latency=Counter([bucket(latency_ms)]))
        if first_token_ms is not None:
            tally.first_token[bucket(first_token_ms)] = 1
        if output_tokens:
            tally.output_tokens, tally.answering_ms = output_tokens, latency_ms
        self._count((provider_id, model, _hour(self._clock())), tally)

    def failed(self, provider_id: int, model: str, failure_class: str) -> None:
        """Count a failure."""
        tally = Tally(attempts=1, failures=Counter([failure_class]))
        self._count((provider_id, model, _hour(self._clock())), tally)

    def flush(self) -> None:
        """Write; what cannot be written now is kept for the next time. Synchronous."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        if not tallies:
            return
        try:
            _write(tallies)
        except IntegrityError:
            # A provider was deleted meanwhile; the next time it is known to be gone.
            self._keep(tallies)
        except BaseException:
            self._keep(tallies)
            raise

    def _keep(self, tallies: dict[Key, Tally]) -> None:
        for key, tally in tallies.items():
            self._count(key, tally)

    def _count(self, key: Key, tally: Tally) -> None:
        with self._lock:
            self._tallies.setdefault(key, Tally()).add(tally)


@transaction.atomic
def _write(tallies: dict[Key, Tally]) -> None:
    """Add to the rows, always in the same order, so that no two processes wait for each other."""
    wanted = {provider_id for provider_id, _, _ in tallies}
    there = set(Provider.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    for key in sorted(tallies):
        if key[0] in there:
            _add(key, tallies[key])


def _add(key: Key, tally: Tally) -> None:
    provider_id, model, hour = key
    row, created = ProviderMetric.objects.select_for_update().get_or_create(
        provider_id=provider_id, model=model, hour=hour, defaults=tally.columns()
    )
    if created:
        return
    whole = Tally.of(row)
    whole.add(tally)
    ProviderMetric.objects.filter(pk=row.pk).update(**whole.columns())


def summaries(*, since: datetime) -> list[MetricSummary]:
    """Per provider and model, over the hours since then: one query."""
    rows = (
        ProviderMetric.objects.filter(hour__gte=_hour(since))
        .select_related("provider")
        .order_by("provider__name", "model")
    )
    return [_summary(*name, tally) for name, tally in _added(rows).items()]


def _added(rows: Iterable[ProviderMetric]) -> dict[tuple[str, str], Tally]:
    tallies: dict[tuple[str, str], Tally] = {}
    for row in rows:
        tallies.setdefault((row.provider.name, row.model), Tally()).add(Tally.of(row))
    return tallies


def _summary(provider: str, model: str, tally: Tally) -> MetricSummary:
    seconds = tally.answering_ms / 1000
    return MetricSummary(
        provider=provider,
        model=model,
        attempts=tally.attempts,
        failures=dict(tally.failures),
        latency_p50=percentile(tally.latency, 0.5),
        latency_p95=percentile(tally.latency, 0.95),
        first_token_p50=percentile(tally.first_token, 0.5),
        first_token_p95=percentile(tally.first_token, 0.95),
        tokens_per_second=tally.output_tokens / seconds if seconds else None,
    )


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def forget_metrics(before: datetime, goes_on: GoesOn) -> Forgotten:
    """Delete the hours that ended before then."""
    return forget(ProviderMetric.objects.filter(hour__lt=_hour(before)), goes_on)
