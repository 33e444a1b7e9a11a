"""How attempts went, per provider and model: counted in memory, written every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A provider's model over some hours. Times are milliseconds, None where nothing was measured."""

    provider: str
    model: str
    attempts: int
    failures: dict[str, int]
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    first_token_p95: float | None
    tokens_per_second: float | None


class MetricsRecorder:
    """Counts attempts; `flush` adds what was counted to the database's rows."""

    def answered(
        self,
        provider_id: int,
        model: str,
        *,
        latency_ms: int,
        first_token_ms: int | None = None,
        output_tokens: int = 0,
    ) -> None:
        raise NotImplementedError

    def failed(self, provider_id: int, model: str, failure_class: str) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Write; what cannot be written now is kept for the next time. Synchronous."""
        raise NotImplementedError


def summaries(*, since: datetime) -> list[MetricSummary]:
    """Per provider and model, over the hours since then: one query."""
    raise NotImplementedError
