"""What a call costs, to the nano-dollar: integer arithmetic, no float, no rounding twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from providers.usage import Usage

TOKENS_PER_PRICE = 1_000_000


INPUT_BUCKETS = ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h")
BUCKETS = (*INPUT_BUCKETS, "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Nano-dollars per million tokens of each bucket.

    A cache bucket without a rate of its own costs what uncached input costs.
    """

    uncached_input: int
    output: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None

    def rate(self, bucket: str) -> int:
        """The nano-dollars per million tokens of `bucket`."""
        own: int | None = getattr(self, bucket)
        return self.uncached_input if own is None else own

    @property
    def dearest_input(self) -> int:
        """The highest rate an input token may be charged at."""
        return max(self.rate(bucket) for bucket in INPUT_BUCKETS)

    @property
    def cheapest_input(self) -> int:
        """The lowest rate an input token may be charged at."""
        return min(self.rate(bucket) for bucket in INPUT_BUCKETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierEntry(Rates):
    """Rates of a whole request whose input, cached or not, is more than `above` tokens."""

    above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry(Rates):
    """A model's price from `effective_from` on: its own rates, and in `tiers` those of requests
    with more input, in any order."""

    id: int
    model_id: int
    effective_from: datetime
    per_request: int = 0
    source: str = "operator"
    precision: str = "exact"
    tiers: tuple[TierEntry, ...] = ()

    def rates(self, input_tokens: int) -> Rates:
        """What a whole request of so much input is charged at: the highest tier it passes, or the
        price's own rates. One token more may therefore change the price of all of them."""
        if not self.tiers:
            return self
        passed = (tier for tier in self.tiers if input_tokens > tier.above)
        return max(passed, key=lambda tier: tier.above, default=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingEstimate:
    """What a call may cost before it is made, in nano-dollars, and how far that can be trusted."""

    lower: int
    expected: int
    upper: int
    source: str
    precision: str


def effective(prices: Iterable[PriceEntry], at: datetime) -> PriceEntry | None:
    """The price in force at `at`: the latest that has begun, or None."""
    begun = (price for price in prices if price.effective_from <= at)
    return max(begun, key=lambda price: price.effective_from, default=None)


def cost(price: PriceEntry, usage: Usage) -> int:
    """The nano-dollars that one request's `usage` costs, rounded half-even once, at the end."""
    rates = price.rates(usage.input)
    millionths = sum(getattr(usage, bucket) * rates.rate(bucket) for bucket in BUCKETS)
    return price.per_request + _divide_half_even(millionths, TOKENS_PER_PRICE)


def estimate(
    price: PriceEntry,
    *,
    input_bound: int,
    expected_input: int,
    output_cap: int,
    expected_output: int,
) -> PricingEstimate:
    """Bounds on the cost of a call of at most `input_bound` input and `output_cap` output tokens.

    The upper bound takes every input token at the dearest input rate and rounds up, so that no
    usage within the bounds costs more. The lower bound is the cheapest input and no output. Both
    are sought in every tier that the input may reach: a tier may be cheaper than the one below.
    """
    reachable = _reachable(price, input_bound)
    most = max(
        last * rates.dearest_input + output_cap * rates.output for rates, _, last in reachable
    )
    least = min(first * rates.cheapest_input for rates, first, _ in reachable)
    return PricingEstimate(
        lower=price.per_request + least // TOKENS_PER_PRICE,
        expected=expected_cost(price, expected_input, expected_output),
        upper=price.per_request + -(-most // TOKENS_PER_PRICE),
        source=price.source,
        precision=price.precision,
    )


def expected_cost(price: PriceEntry, expected_input: int, expected_output: int) -> int:
    """The nano-dollars of so many tokens, none of them cached."""
    rates = price.rates(expected_input)
    likely = expected_input * rates.uncached_input + expected_output * rates.output
    return price.per_request + _divide_half_even(likely, TOKENS_PER_PRICE)


def _reachable(price: PriceEntry, input_bound: int) -> list[tuple[Rates, int, int]]:
    """The rates that a request of at most `input_bound` input tokens may be charged at, each with
    the fewest and the most input tokens at which it is."""
    tiers = sorted(
        (tier for tier in price.tiers if tier.above < input_bound), key=lambda tier: tier.above
    )
    rates: list[Rates] = [price, *tiers]
    firsts = [min(1, input_bound), *(tier.above + 1 for tier in tiers)]
    lasts = [*(tier.above for tier in tiers), input_bound]
    return list(zip(rates, firsts, lasts, strict=True))


def _divide_half_even(amount: int, divisor: int) -> int:
    quotient, remainder = divmod(amount, divisor)
    if remainder * 2 > divisor or (remainder * 2 == divisor and quotient % 2):
        quotient += 1
    return quotient
