"""A price that somebody proposes, against the one in force: an operator's own is never replaced."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Subquery

from governance.models import Price, PriceTier
from governance.money import dollars_text, from_nano_dollars, to_nano_dollars
from governance.pricing import BUCKETS, PriceEntry, Rates
from governance.snapshot import price_entry
from providers.discovery import (
    NoPrice,
    PriceComparison,
    PriceStanding,
    ProposedPrice,
    ProposedRates,
    ProposedTier,
)
from providers.discovery.price_list import PACKAGE
from providers.discovery.prices import TOLD

# A price of any other source was set by hand.
LISTED = f"{PACKAGE} "
OWN_SOURCES = (TOLD, LISTED)
LONGEST_SOURCE = 100


def in_force(models: Collection[int], now: datetime) -> dict[int, PriceEntry]:
    """The price in force at `now` of each of the models that has one: two queries."""
    latest = Price.objects.filter(model=OuterRef("model"), effective_from__lte=now).order_by(
        "-effective_from"
    )
    found = Price.objects.filter(model__in=models, pk=Subquery(latest.values("pk")[:1]))
    return {price.model_id: price_entry(price) for price in found.prefetch_related("tiers")}


def compare(proposed: ProposedPrice | NoPrice, current: PriceEntry | None) -> PriceComparison:
    """How `proposed` stands to the price in force. Pure."""
    shown = None if current is None else as_proposed(current)

    def stands(standing: PriceStanding, says: str) -> PriceComparison:
        return PriceComparison(standing, shown, says)

    if shown is not None and not shown.source.startswith(OWN_SOURCES):
        return stands(PriceStanding.OVERRIDDEN, "The price in force was set by hand and stays.")
    if isinstance(proposed, NoPrice):
        stays = "" if shown is None else " The price in force stays."
        return stands(PriceStanding.UNKNOWN, f"{proposed.reason}{stays}")
    if shown is None:
        return stands(PriceStanding.NEW, "It has no price yet; this one is set.")
    if _charges(shown) == _charges(proposed):
        return stands(PriceStanding.UNCHANGED, "This is the price in force.")
    if shown.source.startswith(TOLD) and not proposed.source.startswith(TOLD):
        return stands(
            PriceStanding.TOLD, "The host itself told the price in force, so a list's does not do."
        )
    says = f"It costs {_words(shown)} now; this price takes its place from now on."
    return stands(PriceStanding.CHANGED, says)


def set_price(model_id: int, proposed: ProposedPrice, now: datetime) -> list[str]:
    """Have `proposed` hold from `now` on, in the caller's transaction; what is wrong with it.

    A row of its own, so that calls keep the one they were charged by.
    """
    price = Price(
        model_id=model_id,
        effective_from=now,
        per_request=to_nano_dollars(proposed.per_request),
        source=proposed.source[:LONGEST_SOURCE],
        precision=proposed.precision,
        **_nano_dollars(proposed),
    )
    try:
        price.full_clean()
        price.save()
        for tier in proposed.tiers:
            row = PriceTier(price=price, above=tier.above, **_nano_dollars(tier))
            row.full_clean()
            row.save()
    except ValidationError as error:
        return [f"the price: {text}" for texts in error.message_dict.values() for text in texts]
    return []


def as_proposed(price: PriceEntry) -> ProposedPrice:
    """A stored price in the terms of a proposed one."""
    return ProposedPrice(
        **_dollars(price),
        per_request=from_nano_dollars(price.per_request),
        source=price.source,
        precision=price.precision,
        tiers=tuple(
            ProposedTier(above=tier.above, **_dollars(tier))
            for tier in sorted(price.tiers, key=lambda tier: tier.above)
        ),
    )


def _dollars(rates: Rates) -> dict[str, Any]:
    amounts = {bucket: getattr(rates, bucket) for bucket in BUCKETS}
    return {
        bucket: None if amount is None else from_nano_dollars(amount)
        for bucket, amount in amounts.items()
    }


def _nano_dollars(rates: ProposedRates) -> dict[str, int | None]:
    return {
        bucket: None if amount is None else to_nano_dollars(amount)
        for bucket, amount in rates.amounts().items()
    }


def _charges(price: ProposedPrice) -> list[Any]:
    """All that decides what a call costs: prices that say it in different ways are the same."""
    charged: list[Any] = [to_nano_dollars(price.per_request), (0, _level(price))]
    for tier in price.tiers:
        if _level(tier) != charged[-1][1]:
            charged.append((tier.above, _level(tier)))
    return charged


def _level(rates: ProposedRates) -> tuple[int, ...]:
    return tuple(to_nano_dollars(rates.charged(bucket)) for bucket in BUCKETS)


def _words(price: ProposedPrice) -> str:
    uncached, output = to_nano_dollars(price.uncached_input), to_nano_dollars(price.output)
    return f"{dollars_text(uncached)} in and {dollars_text(output)} out per million tokens"
