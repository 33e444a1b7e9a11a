"""What `palyra models` says to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from providers.condition import ProviderCondition
from providers.discovery import (
    Applied,
    NoPrice,
    PriceComparison,
    Proposal,
    ProposedPrice,
    Review,
    Standing,
)
from providers.explaining import Explained
from providers.health import ConnectionTest
from providers.metrics import MetricSummary
from providers.models import FailoverPolicy, ModelRole, Provider, ProviderModel, ProviderProbe
from providers.tables import aligned

CAPABILITIES = ("streaming", "tools", "json_mode", "vision", "audio")


def status(
    known: Sequence[ProviderCondition],
    defaults: Mapping[str, str | None],
    policy: FailoverPolicy,
) -> str:
    """How providers are doing, the defaults, and when calls go on elsewhere."""
    if not known:
        return "No provider yet. Add one in the console, or with the API."
    rows = [
        (
            one.provider.name,
            one.provider.kind,
            one.provider.enabled,
            _credentials(one),
            _breakers(one),
            _probe(one.probe),
        )
        for one in known
    ]
    headings = ("PROVIDER", "KIND", "ENABLED", "CREDENTIALS", "BREAKER", "LAST PROBE")
    roles = [
        f"Default for {ModelRole(role).label.lower()}: {model or 'none'}"
        for role, model in defaults.items()
    ]
    return "\n".join([aligned(headings, rows), "", *roles, f"Failover: {_failover(policy)}"])


def models(rows: Iterable[ProviderModel]) -> str:
    """Every model, in a line."""
    cells = [
        (
            row,
            row.role,
            row.enabled and row.provider.enabled,
            row.is_default,
            f"{row.context_window:,}",
            "" if row.role == ModelRole.EMBEDDINGS else f"{row.max_output_tokens:,}",
            ", ".join(name for name in CAPABILITIES if getattr(row, name)),
            row.get_metadata_source_display(),
        )
        for row in rows
    ]
    if not cells:
        return "No model yet. `palyra models discover PROVIDER` shows what a host has."
    headings = ("MODEL", "ROLE", "ENABLED", "DEFAULT", "CONTEXT", "OUTPUT", "CAN", "KNOWN FROM")
    return aligned(headings, cells)


def tests(found: Iterable[ConnectionTest]) -> str:
    """How each credential fared."""
    rows = [
        (
            test.provider,
            result.credential,
            "reached" if result.ok else "failed",
            f"{result.latency_ms} ms",
            result.listed,
            "" if result.ok else f"{result.cause} {result.advice}",
        )
        for test in found
        for result in test.results
    ]
    if not rows:
        return "No enabled provider to test."
    return aligned(("PROVIDER", "CREDENTIAL", "RESULT", "TIME", "LISTS", "WHY"), rows)


def review(provider: Provider, found: Review) -> str:
    """What a host lists, and what that would change."""
    rows = [_proposed(one, found.prices.get(one.listed_name)) for one in found.proposals]
    headings = ("MODEL", "STANDING", "ROLE", "CONTEXT", "OUTPUT", "PRICE / M", "NOTE")
    lines = [str(found), aligned(headings, rows) if rows else ""]
    if not found.listing.is_complete:
        lines.append("The host lists more than is read: what is missing here may still exist.")
    lines.append(f"Take over: palyra models discover {provider.name} --apply NAME…")
    return "\n".join(line for line in lines if line)


def applied(done: Applied) -> str:
    """What was taken over."""
    lists = (("added", done.created), ("updated", done.updated), ("unchanged", done.unchanged))
    named = [f"  {verb}: {', '.join(names)}" for verb, names in lists if names]
    missing = [
        f"  no price: {name}: {one.says}" for name, one in done.prices.items() if one.is_missing
    ]
    return "\n".join([str(done), *named, *missing])


def explanation(found: Iterable[Explained]) -> str:
    """The candidates in their order, and what the others lack."""
    rows, place = [], 0
    for one in found:
        place += one.eligible
        now = one.obstacle or ("would be tried" if one.eligible else "")
        rows.append((place if one.eligible else "", one.model.qualified_name, one.reason, now))
    return aligned(("", "MODEL", "WHY", "NOW"), rows)


def metrics(found: Iterable[MetricSummary], hours: int) -> str:
    """How each provider's models did."""
    rows = [
        (
            f"{one.provider}/{one.model}",
            one.attempts,
            ", ".join(f"{name} {count}" for name, count in sorted(one.failures.items())),
            _milliseconds(one.latency_p50),
            _milliseconds(one.latency_p95),
            _milliseconds(one.first_token_p50),
            "" if one.tokens_per_second is None else f"{one.tokens_per_second:.1f}",
        )
        for one in found
    ]
    if not rows:
        return f"Nothing was called in the last {hours} hours."
    headings = ("MODEL", "CALLS", "FAILURES", "P50", "P95", "FIRST TOKEN", "TOKENS/S")
    return aligned(headings, rows)


def _credentials(one: ProviderCondition) -> str:
    if not one.credentials:
        return "none"
    faults = [f"{each.name}: {each.fault}" for each in one.credentials if each.fault]
    return " ".join([f"{one.usable_credentials} of {len(one.credentials)} usable", *faults])


def _breakers(one: ProviderCondition) -> str:
    """What each credential's breaker does; said once where all of them do the same."""
    said = {each.says for each in one.breakers}
    if len(said) == 1:
        return said.pop()
    return " ".join(f"“{each.credential}”: {each.says}" for each in one.breakers)


def _probe(probe: ProviderProbe | None) -> str:
    if probe is None or probe.checked_at is None:
        return ""
    at = f"{probe.checked_at:%Y-%m-%d %H:%M:%S}Z"
    return f"reached in {probe.latency_ms} ms, {at}" if probe.ok else f"{probe.message} {at}"


def _failover(policy: FailoverPolicy) -> str:
    if not policy.enabled:
        return "off"
    return "on, also where a model is named" if policy.pinned else "on, unless a model is named"


def _proposed(one: Proposal, price: PriceComparison | None) -> tuple[object, ...]:
    facts = one.facts
    changes = ", ".join(f"{each.label} {each.before} → {each.after}" for each in one.changes)
    standing = "set by hand" if one.overridden and one.changes else one.standing.value
    says = "" if price is None or one.standing is Standing.GONE else price.says
    return (
        one.listed_name,
        standing,
        one.role,
        _count(facts.context_window),
        _count(facts.max_output_tokens),
        _dollars(one.price),
        " ".join(part for part in (changes, one.note, says) if part),
    )


def _dollars(price: ProposedPrice | NoPrice) -> str:
    if isinstance(price, NoPrice):
        return ""
    words = [f"${price.uncached_input:f} in, ${price.output:f} out"]
    for tier in price.tiers:
        amounts = f"${tier.uncached_input:f} in, ${tier.output:f} out"
        words.append(f"above {tier.above:,} tokens {amounts}")
    return "; ".join(words)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _milliseconds(number: float | None) -> str:
    return "" if number is None else f"{number:.0f} ms"
