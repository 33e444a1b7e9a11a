"""How a provider is doing, as its page in the console shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from providers.breaker import Verdict
from providers.condition import (
    BreakerCondition,
    CredentialCondition,
    ProviderCondition,
    looked_at,
)
from providers.display import NOTHING, Tone, distance, duration, moment, number
from providers.metrics import MetricSummary

STATES: dict[str, tuple[str, Tone]] = {
    Verdict.PASS.value: ("Closed", "good"),
    Verdict.PROBE.value: ("Half open", "warning"),
    Verdict.REFUSE.value: ("Open", "bad"),
}
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerFact:
    """A credential and its breaker, in words."""

    credential: str
    fault: str
    state: str
    tone: Tone
    says: str
    last_failure: str
    retries: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFact:
    """The last look at a provider, in words."""

    state: str
    tone: Tone
    says: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """How a model did, in words."""

    model: str
    attempts: str
    failures: str
    latency_p50: str
    latency_p95: str
    first_token: str
    tokens_per_second: str


def breaker_facts(found: ProviderCondition, now: datetime) -> list[BreakerFact]:
    """A fact for each breaker; of credentials that are enabled."""
    by_name = {one.name: one for one in found.credentials}
    return [_breaker(one, by_name.get(one.credential), now) for one in found.breakers]


def _breaker(
    one: BreakerCondition, credential: CredentialCondition | None, now: datetime
) -> BreakerFact:
    state, tone = STATES[one.lets]
    failure = one.failure_class.replace("_", " ")
    said = f"{failure.capitalize()}: {one.last_failure}" if one.last_failure else ""
    waits = one.lets == Verdict.REFUSE.value and not one.tripped_by and one.retry_at is not None
    return BreakerFact(
        credential=one.credential or "No credential",
        fault=credential.fault if credential else "",
        state="Tripped by hand" if one.tripped_by else state,
        tone=tone,
        says=one.says.partition(" The last one:")[0],
        last_failure=said,
        retries=distance(one.retry_at, now) if waits and one.retry_at else "",
    )


def probe_fact(found: ProviderCondition) -> ProbeFact:
    """The last look, or that nobody has looked."""
    probe = found.probe
    if probe is None or probe.checked_at is None:
        return ProbeFact(state="Not looked at yet", tone="quiet", says="", when="")
    if probe.ok:
        says = f"It answered in {duration((probe.latency_ms or 0) / MILLISECONDS)}."
        return ProbeFact(state="Reached", tone="good", says=says, when=moment(probe.checked_at))
    tone: Tone = "bad" if probe.latency_ms is None else "warning"
    return ProbeFact(
        state=looked_at(probe), tone=tone, says=probe.message, when=moment(probe.checked_at)
    )


def metric_rows(found: Iterable[MetricSummary]) -> list[MetricRow]:
    """A row for each model."""
    return [
        MetricRow(
            model=one.model,
            attempts=number(one.attempts),
            failures=_failures(one.failures),
            latency_p50=_time(one.latency_p50),
            latency_p95=_time(one.latency_p95),
            first_token=_time(one.first_token_p50),
            tokens_per_second=(
                NOTHING if one.tokens_per_second is None else f"{one.tokens_per_second:.1f}"
            ),
        )
        for one in found
    ]


def _failures(counts: dict[str, int]) -> str:
    named = [f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(counts.items())]
    return ", ".join(named) or "None"


def _time(milliseconds: float | None) -> str:
    return NOTHING if milliseconds is None else duration(milliseconds / MILLISECONDS)
