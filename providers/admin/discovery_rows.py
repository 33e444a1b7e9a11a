"""A host's listing as the console shows it: what each model would be, what is, what it costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from providers.discovery import (
    NoPrice,
    PriceComparison,
    PriceStanding,
    Proposal,
    ProposedPrice,
    ProposedRates,
    Review,
    Standing,
)
from providers.display import NOTHING, Tone, number
from providers.models import CostTier, LatencyTier, ModelRole

STANDINGS: dict[Standing, tuple[str, Tone]] = {
    Standing.NEW: ("New", "good"),
    Standing.CHANGED: ("Changed", "warning"),
    Standing.KNOWN: ("Known", "quiet"),
    Standing.GONE: ("No longer listed", "bad"),
    Standing.UNUSABLE: ("Not usable", "quiet"),
}
ORDER = tuple(STANDINGS)
CAPABILITIES = {
    "streaming": "streaming",
    "tools": "tools",
    "json_mode": "JSON",
    "vision": "vision",
    "audio": "audio",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRow:
    """One model of the listing, in words."""

    name: str
    here: str
    standing: str
    tone: Tone
    can_be_picked: bool
    is_picked: bool
    role: str
    can: str
    context: str
    output: str
    tiers: str
    changes: tuple[str, ...]
    note: str
    price: str
    price_source: str
    price_now: str
    price_says: str


def discovery_rows(found: Review, picked: Collection[str] = ()) -> list[DiscoveryRow]:
    """A row a model: what is new and changed first, in the host's order."""
    ordered = sorted(found.proposals, key=lambda one: ORDER.index(one.standing))
    return [_row(one, found.prices.get(one.listed_name), picked) for one in ordered]


def _row(one: Proposal, price: PriceComparison | None, picked: Collection[str]) -> DiscoveryRow:
    standing, tone = STANDINGS[one.standing]
    if one.overridden and one.changes:
        standing, tone = "Set by an operator", "busy"
    facts = one.facts
    return DiscoveryRow(
        name=one.listed_name,
        here="" if one.name == one.listed_name else one.name,
        standing=standing,
        tone=tone,
        can_be_picked=one.can_be_picked,
        is_picked=one.listed_name in picked,
        role=ModelRole(one.role).label if one.role else NOTHING,
        can=", ".join(words for name, words in CAPABILITIES.items() if getattr(facts, name)),
        context=_size(one, facts.context_window),
        output=_size(one, facts.max_output_tokens),
        tiers=_tiers(one),
        changes=tuple(
            f"{each.label}: {_value(each.before)} → {_value(each.after)}" for each in one.changes
        ),
        note=one.note,
        price=_price(one.price),
        price_source=_source(one),
        price_now=_price(price.in_force if price else None),
        price_says=_says(one, price),
    )


def _size(one: Proposal, tokens: int | None) -> str:
    """What is told; where nothing is, a new model gets what every new model has."""
    assumed = one.standing is Standing.NEW and tokens is None
    return "Not told" if assumed else number(tokens)


def _tiers(one: Proposal) -> str:
    if not one.can_be_picked:
        return ""
    cost, latency = one.facts.cost_tier, one.facts.latency_tier
    words = [
        f"cost {CostTier(cost).label.lower()}" if cost else "",
        f"speed {LatencyTier(latency).label.lower()}" if latency else "",
    ]
    return ", ".join(word for word in words if word)


def _price(price: ProposedPrice | NoPrice | None) -> str:
    if not isinstance(price, ProposedPrice):
        return NOTHING
    parts = [_rates(price)]
    if price.per_request:
        parts.append(f"{_dollars(price.per_request)} a request")
    words = [", ".join(parts)]
    words += [f"above {number(tier.above)} input tokens {_rates(tier)}" for tier in price.tiers]
    return "; ".join(words)


def _rates(rates: ProposedRates) -> str:
    parts = [f"{_dollars(rates.uncached_input)} in, {_dollars(rates.output)} out"]
    if rates.cache_read is not None:
        parts.append(f"{_dollars(rates.cache_read)} cache read")
    if rates.cache_write_5m is not None:
        parts.append(f"{_dollars(rates.cache_write_5m)} cache write")
    return ", ".join(parts)


def _source(one: Proposal) -> str:
    price = one.price
    if isinstance(price, NoPrice):
        return price.reason if one.can_be_picked else ""
    estimate = ", an estimate" if price.precision == "estimate" else ""
    return f"{price.source}{estimate}. {price.note}".strip()


def _says(one: Proposal, price: PriceComparison | None) -> str:
    if price is None or one.standing in {Standing.GONE, Standing.UNUSABLE}:
        return ""
    if price.standing is PriceStanding.UNKNOWN:
        return "It stays." if price.in_force else ""
    return "" if price.standing is PriceStanding.NEW else price.says


def _dollars(amount: Decimal) -> str:
    return f"${amount.normalize():f}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int) else str(value).replace("_", " ")
