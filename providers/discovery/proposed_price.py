"""What a model may cost, as somebody else says: US dollars per million tokens of each bucket.

A price that cannot be said in these terms is not proposed at all, and why is said: unknown is not
zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

EXACT, ESTIMATE = "exact", "estimate"
BUCKETS = ("uncached_input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# Beyond any price: a host that lists more has made a mistake.
HIGHEST = Decimal(100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedRates:
    """US dollars per million tokens of each bucket.

    A cache bucket of None costs what uncached input costs.
    """

    uncached_input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None

    def amounts(self) -> dict[str, Any]:
        """The dollars of each bucket by its name, None where it has none of its own."""
        return {bucket: getattr(self, bucket) for bucket in BUCKETS}

    def charged(self, bucket: str) -> Decimal:
        """The dollars that a million tokens of `bucket` come to."""
        own: Decimal | None = getattr(self, bucket)
        return self.uncached_input if own is None else own


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedTier(ProposedRates):
    """What a whole request costs whose input, cached or not, is more than `above` tokens."""

    above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPrice(ProposedRates):
    """What a model costs, as far as somebody says; `note` is what the numbers leave out."""

    per_request: Decimal = Decimal(0)
    source: str
    precision: str = EXACT
    note: str = ""
    tiers: tuple[ProposedTier, ...] = ()

    @property
    def is_believable(self) -> bool:
        """Whether no amount is negative, or beyond any price."""
        return all(0 <= amount <= HIGHEST for amount in self._every_amount())

    def _every_amount(self) -> Iterator[Decimal]:
        yield self.per_request
        for rates in (self, *self.tiers):
            yield from (amount for amount in rates.amounts().values() if amount is not None)


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Why no price is proposed, and what to do."""

    reason: str
