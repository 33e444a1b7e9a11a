"""Our cost against that of `genai-prices`, over every model that its data and we can both price.

Both are exact, but they add up dollars and we nano-dollars: theirs is rounded half-even to a
nano-dollar once, at the end, as ours is. There are three exceptions, each of which is checked:

- what is not priced by input and output tokens has no price here;
- what costs more at some hours is charged as at the dearest;
- an amount that is finer than a nano-dollar per million tokens, such as a third of a cent that
  somebody divided, is stored rounded to one: that is half a nano-dollar for each million tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache
from typing import Any, NamedTuple

import pytest
from genai_prices import types as genai
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from governance.money import NANO_DOLLARS, to_nano_dollars
from governance.pricing import PriceEntry, TierEntry, cost
from providers.discovery import NoPrice, ProposedPrice, ProposedRates
from providers.discovery.price_list import NOT_BY_TOKENS, price_of
from providers.usage import Usage

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LARGEST = 3_000_000


class Shared(NamedTuple):
    """A model that both can price; `role` is what it is asked for."""

    provider: genai.Provider
    model: genai.ModelInfo
    role: str
    ours: PriceEntry

    @property
    def edges(self) -> list[int]:
        """Numbers of input tokens on either side of each change of rates."""
        return [1, *(n for tier in self.ours.tiers for n in (tier.above, tier.above + 1))]

    @property
    def depends_on_the_hour(self) -> bool:
        prices = self.model.prices if isinstance(self.model.prices, list) else []
        return any(isinstance(one.constraint, genai.TimeOfDateConstraint) for one in prices)

    @property
    def is_finer(self) -> bool:
        """Whether an amount of it does not fit into nano-dollars."""
        every: list[Decimal] = []
        for value in vars(self.model.get_prices(NOW)).values():
            tiers = getattr(value, "tiers", ())
            every += [getattr(value, "base", value), *(tier.price for tier in tiers)]
        return any(one is not None and one * NANO_DOLLARS % 1 for one in every)


def nano(rates: ProposedRates) -> dict[str, Any]:
    return {
        bucket: to_nano_dollars(amount)
        for bucket, amount in rates.amounts().items()
        if amount is not None
    }


def entry(price: ProposedPrice) -> PriceEntry:
    return PriceEntry(
        id=1,
        model_id=1,
        effective_from=NOW,
        per_request=to_nano_dollars(price.per_request),
        tiers=tuple(TierEntry(above=tier.above, **nano(tier)) for tier in price.tiers),
        **nano(price),
    )


def every_model() -> Iterator[tuple[genai.Provider, genai.ModelInfo]]:
    return ((provider, model) for provider in providers for model in provider.models)


def role_of(model: genai.ModelInfo) -> str:
    listed = model.get_prices(NOW)
    if listed.output_mtok is None and listed.input_mtok is not None:
        return "embeddings"
    only_audio = listed.input_mtok is None and listed.input_audio_mtok is not None
    return "audio_transcription" if only_audio else "chat"


@cache
def shared() -> list[Shared]:
    found = []
    for provider, model in every_model():
        price = price_of(model, role_of(model), NOW)
        if isinstance(price, ProposedPrice):
            found.append(Shared(provider, model, role_of(model), entry(price)))
    return found


def theirs(one: Shared, usage: Usage) -> int:
    """What the package says that it costs, in nano-dollars."""
    counts = {
        "input_tokens": usage.input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_write_5m_tokens": usage.cache_write_5m,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
    }
    if one.role == "audio_transcription":
        counts |= {"input_audio_tokens": usage.input}
    priced = one.model.calc_price(
        genai.Usage(**counts), one.provider, genai_request_timestamp=NOW
    ).total_price
    with localcontext(prec=60):
        return int((priced * Decimal(NANO_DOLLARS)).to_integral_value(ROUND_HALF_EVEN))


def spread(total: int, dice: random.Random, role: str) -> Usage:
    """So many input tokens, thrown into the buckets that the role has."""
    output = dice.randrange(LARGEST)
    if role != "chat":
        return Usage(uncached_input=total, output=0 if role == "embeddings" else output)
    cuts = sorted(dice.randint(0, total) for _ in range(3))
    read, short, long = cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1]
    return Usage(
        uncached_input=total - cuts[2],
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        output=output,
    )


def assert_agreed(one: Shared, usage: Usage) -> None:
    ours, listed = cost(one.ours, usage), theirs(one, usage)
    if one.depends_on_the_hour:
        assert ours >= listed, (one.provider.id, one.model.id, usage)
    elif one.is_finer:
        assert abs(ours - listed) <= 1 + usage.total // 2_000_000
    else:
        assert ours == listed, (one.provider.id, one.model.id, usage)


def test_every_model_costs_the_same_to_the_nano_dollar() -> None:
    dice = random.Random("prices")
    assert len(shared()) > 2000
    for one in shared():
        for total in (0, *one.edges, dice.randrange(1000), dice.randrange(LARGEST)):
            assert_agreed(one, spread(total, dice, one.role))


@given(
    index=st.integers(min_value=0),
    total=st.integers(0, LARGEST),
    seed=st.integers(0, 2**32),
    at_an_edge=st.booleans(),
)
def test_any_usage_costs_the_same(index: int, total: int, seed: int, at_an_edge: bool) -> None:
    one = shared()[index % len(shared())]
    dice = random.Random(seed)
    assert_agreed(one, spread(dice.choice(one.edges) if at_an_edge else total, dice, one.role))


def test_what_has_no_price_here_is_not_priced_by_input_and_output() -> None:
    left_out = 0
    for _, model in every_model():
        price = price_of(model, role_of(model), NOW)
        if not isinstance(price, NoPrice):
            continue
        left_out += 1
        listed = model.get_prices(NOW)
        hears = role_of(model) == "audio_transcription"
        uncached = listed.input_audio_mtok if hears else listed.input_mtok
        assert price.reason == NOT_BY_TOKENS
        assert uncached is None or listed.output_mtok is None, model.id
    assert 0 < left_out < len(shared()) / 8


def test_few_prices_are_finer_than_a_nano_dollar() -> None:
    assert 0 < sum(one.is_finer for one in shared()) < 50


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_what_costs_less_at_some_hours_is_charged_as_at_the_dearest(hour: int) -> None:
    by_the_hour = [one for one in shared() if one.depends_on_the_hour]
    assert by_the_hour
    for one in by_the_hour:
        again = price_of(one.model, one.role, NOW.replace(hour=hour))
        assert isinstance(again, ProposedPrice)
        assert entry(again) == one.ours
        assert "dearest" in again.note
