"""A price in words, as screens and terminals show it."""

from __future__ import annotations

from decimal import Decimal

from providers.discovery.proposed_price import ProposedPrice, ProposedRates


def price_words(price: ProposedPrice) -> str:
    """Its rates per million tokens, what a request costs, and what long contexts do."""
    parts = [_rates(price)]
    if price.per_request:
        parts.append(f"{_dollars(price.per_request)} a request")
    words = [", ".join(parts)]
    words += [f"above {tier.above:,} input tokens {_rates(tier)}" for tier in price.tiers]
    return "; ".join(words)


def source_words(price: ProposedPrice) -> str:
    """Who says so, how far it can be trusted, and what it leaves out."""
    estimate = ", an estimate" if price.precision == "estimate" else ""
    return f"{price.source}{estimate}. {price.note}".strip()


def _rates(rates: ProposedRates) -> str:
    parts = [f"{_dollars(rates.uncached_input)} in, {_dollars(rates.output)} out"]
    if rates.cache_read is not None:
        parts.append(f"{_dollars(rates.cache_read)} cache read")
    short, long = rates.cache_write_5m, rates.cache_write_1h
    if short is not None:
        parts.append(f"{_dollars(short)} cache write")
    if long is not None and long != short:
        parts.append(f"{_dollars(long)} cache write for 1 h")
    return ", ".join(parts)


def _dollars(amount: Decimal) -> str:
    return f"${amount.normalize():f}"
