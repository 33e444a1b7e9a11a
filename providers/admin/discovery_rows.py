"""A host's listing as the console shows it: what each model would be, what is, what it costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from providers.discovery import (
    NoPrice,
    PriceComparison,
    PriceStanding,
    Proposal,
    ProposedPrice,
    Review,
    Standing,
)
from providers.discovery.price_words import price_words, source_words
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


def to_review(found: Review) -> str:
    """What somebody may want to take over of the listing, in words; empty if nothing."""
    new, changed = found.counted(Standing.NEW), found.counted(Standing.CHANGED)
    dearer_or_cheaper = sum(
        price.standing is PriceStanding.CHANGED for price in found.prices.values()
    )
    parts = [
        f"{count:,} {one if count == 1 else many}"
        for count, one, many in (
            (new, "new model", "new models"),
            (changed, "changed model", "changed models"),
            (dearer_or_cheaper, "other price than in force", "other prices than in force"),
        )
        if count
    ]
    return f"Its host’s last listing has {' and '.join(parts)}." if parts else ""


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
    return price_words(price) if isinstance(price, ProposedPrice) else NOTHING


def _source(one: Proposal) -> str:
    if isinstance(one.price, NoPrice):
        return one.price.reason if one.can_be_picked else ""
    return source_words(one.price)


def _says(one: Proposal, price: PriceComparison | None) -> str:
    if price is None or one.standing in {Standing.GONE, Standing.UNUSABLE}:
        return ""
    if price.standing is PriceStanding.UNKNOWN:
        return "It stays." if price.in_force else ""
    return "" if price.standing is PriceStanding.NEW else price.says


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int) else str(value).replace("_", " ")
