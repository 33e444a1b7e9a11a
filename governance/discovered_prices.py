"""Prices that discovery proposes, against those in force: an operator's own is never replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Subquery

from governance.models import Price
from governance.money import dollars_text, from_nano_dollars, to_nano_dollars
from providers.discovery.price_book import PriceComparison, PriceStanding
from providers.discovery.prices import PACKAGE, NoPrice, ProposedPrice
from providers.discovery.proposals import Proposal

OWN_SOURCES = ("discovery: ", f"{PACKAGE} ")
AMOUNTS = (
    "uncached_input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "per_request",
)


class GovernancePriceBook:
    """What discovery is told of prices, and how it has them set."""

    permission = "governance.add_price"

    def compare(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """Each proposed price against the one in force: one query."""
        in_force = _in_force(proposals, now)
        return {one.listed_name: _compare(one, in_force.get(one.model_id)) for one in proposals}

    def apply(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """Set each price that is new or different, from `now` on."""
        compared = self.compare(proposals, now=now)
        faults = []
        for proposal in proposals:
            if not compared[proposal.listed_name].would_be_set:
                continue
            assert isinstance(proposal.price, ProposedPrice)
            assert proposal.model_id is not None
            price = _row(proposal.model_id, proposal.price, now)
            try:
                price.full_clean()
            except ValidationError as error:
                texts = (text for texts in error.message_dict.values() for text in texts)
                faults += [f"“{proposal.listed_name}”: the price: {text}" for text in texts]
                continue
            price.save()
        if faults:
            raise ValidationError({"models": faults})
        return compared


def _in_force(proposals: Sequence[Proposal], now: datetime) -> dict[int | None, Price]:
    ids = [one.model_id for one in proposals if one.model_id is not None]
    latest = Price.objects.filter(model=OuterRef("model"), effective_from__lte=now).order_by(
        "-effective_from"
    )
    found = Price.objects.filter(model__in=ids, pk=Subquery(latest.values("pk")[:1]))
    return {price.model_id: price for price in found}


def _compare(proposal: Proposal, price: Price | None) -> PriceComparison:
    in_force = None if price is None else _as_proposed(price)
    proposed = proposal.price
    if price is not None and not price.source.startswith(OWN_SOURCES):
        return PriceComparison(
            PriceStanding.OPERATORS, in_force, "The price in force was set by hand and stays."
        )
    if isinstance(proposed, NoPrice):
        stays = "" if price is None else " The price in force stays."
        return PriceComparison(PriceStanding.UNKNOWN, in_force, f"{proposed.reason}{stays}")
    if price is None:
        return PriceComparison(PriceStanding.NEW, None, "It has no price yet; this one is set.")
    if _amounts(price) == _nano_dollars(proposed):
        return PriceComparison(PriceStanding.SAME, in_force, "This is the price in force.")
    says = f"It costs {_words(price)} now; this price takes its place from now on."
    return PriceComparison(PriceStanding.CHANGED, in_force, says)


def _row(model_id: int, proposed: ProposedPrice, now: datetime) -> Price:
    return Price(
        model_id=model_id,
        effective_from=now,
        source=proposed.source[:100],
        precision=proposed.precision,
        **_nano_dollars(proposed),
    )


def _nano_dollars(proposed: ProposedPrice) -> dict[str, int | None]:
    amounts = {name: getattr(proposed, name) for name in AMOUNTS}
    return {
        name: None if amount is None else to_nano_dollars(amount)
        for name, amount in amounts.items()
    }


def _amounts(price: Price) -> dict[str, int | None]:
    return {name: getattr(price, name) for name in AMOUNTS}


def _as_proposed(price: Price) -> ProposedPrice:
    amounts: dict[str, Any] = {
        name: None if amount is None else from_nano_dollars(amount)
        for name, amount in _amounts(price).items()
    }
    return ProposedPrice(**amounts, source=price.source, precision=price.precision)


def _words(price: Price) -> str:
    return (
        f"{dollars_text(price.uncached_input)} in and {dollars_text(price.output)} out "
        "per million tokens"
    )
