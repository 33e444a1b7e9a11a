"""What a call costs: exact, and never more than the estimate's upper bound."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.pricing import INPUT_BUCKETS, PriceEntry, TierEntry, cost, effective, estimate
from providers.usage import Usage

START = datetime(2026, 1, 1, tzinfo=UTC)
rates = st.integers(min_value=0, max_value=10**15)
maybe_rates = st.none() | rates
tokens = st.integers(min_value=0, max_value=2**31 - 1)


def price(**fields: Any) -> PriceEntry:
    defaults = {
        "id": 1,
        "model_id": 1,
        "effective_from": START,
        "uncached_input": 3 * 10**9,
        "output": 15 * 10**9,
    }
    return PriceEntry(**{**defaults, **fields})


def tier(above: int, uncached_input: int, output: int, **more: int) -> TierEntry:
    return TierEntry(above=above, uncached_input=uncached_input, output=output, **more)


tiers = st.builds(
    TierEntry,
    above=st.integers(1, 1000) | tokens.filter(bool),
    uncached_input=rates,
    output=rates,
    cache_read=maybe_rates,
    cache_write_5m=maybe_rates,
    cache_write_1h=maybe_rates,
)
prices = st.builds(
    price,
    tiers=st.lists(tiers, max_size=3, unique_by=lambda one: one.above).map(tuple),
    uncached_input=rates,
    output=rates,
    cache_read=maybe_rates,
    cache_write_5m=maybe_rates,
    cache_write_1h=maybe_rates,
    per_request=rates,
)
usages = st.builds(
    Usage,
    uncached_input=tokens,
    cache_read=tokens,
    cache_write_5m=tokens,
    cache_write_1h=tokens,
    output=tokens,
)


@pytest.mark.parametrize(
    ("usage", "nano_dollars"),
    [
        pytest.param(Usage(), 0, id="nothing"),
        pytest.param(Usage(uncached_input=1000), 3_000_000, id="input"),
        pytest.param(Usage(output=1000), 15_000_000, id="output"),
        pytest.param(Usage(cache_read=1000), 300_000, id="cache read"),
        pytest.param(Usage(cache_write_5m=1000), 3_750_000, id="cache write, 5 minutes"),
        pytest.param(Usage(cache_write_1h=1000), 3_000_000, id="without a price, as input"),
        pytest.param(
            Usage(uncached_input=10, cache_read=20, cache_write_5m=30, output=40),
            30_000 + 6_000 + 112_500 + 600_000,
            id="together",
        ),
    ],
)
def test_each_bucket_costs_its_own_price(usage: Usage, nano_dollars: int) -> None:
    entry = price(cache_read=3 * 10**8, cache_write_5m=375 * 10**7)
    assert cost(entry, usage) == nano_dollars
    per_request = price(cache_read=3 * 10**8, cache_write_5m=375 * 10**7, per_request=7)
    assert cost(per_request, usage) == nano_dollars + 7


@pytest.mark.parametrize(("rate", "nano_dollars"), [(500_000, 0), (1_500_000, 2), (2_500_000, 2)])
def test_half_a_nano_dollar_goes_to_the_even_neighbour(rate: int, nano_dollars: int) -> None:
    assert cost(price(uncached_input=rate), Usage(uncached_input=1)) == nano_dollars


@given(entry=prices, usage=usages)
def test_the_cost_is_that_of_exact_decimals_rounded_once(entry: PriceEntry, usage: Usage) -> None:
    charged: Any = entry
    for one in sorted(entry.tiers, key=lambda one: one.above):
        charged = one if usage.input > one.above else charged
    with localcontext(prec=60):
        buckets = [
            (usage.uncached_input, charged.uncached_input),
            (usage.cache_read, charged.rate("cache_read")),
            (usage.cache_write_5m, charged.rate("cache_write_5m")),
            (usage.cache_write_1h, charged.rate("cache_write_1h")),
            (usage.output, charged.output),
        ]
        exact = sum(Decimal(count) * Decimal(rate) / 10**6 for count, rate in buckets)
        rounded = Decimal(exact).to_integral_value(ROUND_HALF_EVEN)
    assert cost(entry, usage) == entry.per_request + int(rounded)


@st.composite
def bounded(draw: Callable[..., Any]) -> tuple[Usage, int, int]:
    """A usage with at least one input token, and bounds that it stays within."""
    usage: Usage = draw(usages.filter(lambda found: found.input > 0))
    slack = st.integers(0, 1000)
    return usage, usage.input + draw(slack), usage.output + draw(slack)


@given(entry=prices, within=bounded())
def test_no_usage_within_the_bounds_costs_more_or_less_than_estimated(
    entry: PriceEntry, within: tuple[Usage, int, int]
) -> None:
    usage, input_bound, output_cap = within
    estimated = estimate(
        entry, input_bound=input_bound, expected_input=1, output_cap=output_cap, expected_output=0
    )
    assert estimated.lower <= cost(entry, usage) <= estimated.upper


@given(entry=prices, usage=usages)
def test_both_bounds_are_reached_by_some_usage(entry: PriceEntry, usage: Usage) -> None:
    # At the edges of every tier, for within one more tokens never cost less.
    above = [one.above for one in entry.tiers]
    edges = {1, usage.input, *above, *(one + 1 for one in above)}
    within = [edge for edge in edges if edge <= usage.input]
    every: list[Any] = [
        {bucket: edge, "output": output}
        for edge in within
        for bucket in INPUT_BUCKETS
        for output in (0, usage.output)
    ] or [{}]
    costs = [cost(entry, Usage(**one)) for one in every]
    estimated = estimate(
        entry,
        input_bound=usage.input,
        expected_input=usage.input,
        output_cap=usage.output,
        expected_output=usage.output,
    )
    assert max(costs) in {estimated.upper, estimated.upper - 1}
    assert min(costs) in {estimated.lower, estimated.lower + 1}


@given(entry=prices, likely_input=tokens, likely_output=tokens)
def test_what_is_expected_costs_what_is_expected(
    entry: PriceEntry, likely_input: int, likely_output: int
) -> None:
    estimated = estimate(
        entry,
        input_bound=likely_input + 1,
        expected_input=likely_input,
        output_cap=likely_output,
        expected_output=likely_output,
    )
    used = Usage(uncached_input=likely_input, output=likely_output)
    assert estimated.expected == cost(entry, used) <= estimated.upper
    assert (estimated.source, estimated.precision) == (entry.source, entry.precision)


LONG = (tier(400, 30 * 10**9, 60 * 10**9), tier(100, 6 * 10**9, 20 * 10**9, cache_read=10**9))


@pytest.mark.parametrize(
    ("usage", "nano_dollars"),
    [
        pytest.param(Usage(uncached_input=100, output=10), 300_000 + 150_000, id="at the edge"),
        pytest.param(Usage(uncached_input=101, output=10), 606_000 + 200_000, id="one token more"),
        pytest.param(
            Usage(uncached_input=1, cache_read=100), 6_000 + 100_000, id="cached ones count"
        ),
        pytest.param(Usage(uncached_input=51, cache_write_1h=50), 606_000, id="no rate of its own"),
        pytest.param(Usage(uncached_input=100, output=5000), 300_000 + 75_000_000, id="output not"),
        pytest.param(Usage(uncached_input=400), 2_400_000, id="at the edge of the highest"),
        pytest.param(Usage(uncached_input=401), 12_030_000, id="above the highest"),
    ],
)
def test_the_whole_request_is_charged_at_the_highest_tier_it_passes(
    usage: Usage, nano_dollars: int
) -> None:
    for in_order in (LONG, LONG[::-1]):
        assert cost(price(tiers=in_order), usage) == nano_dollars


@pytest.mark.parametrize(
    ("input_bound", "lower", "upper"),
    [
        pytest.param(100, 3_000, 300_000 + 150_000, id="no tier can be reached"),
        pytest.param(101, 101, 303_000 + 150_000 - 3_000, id="the dearest is just below the tier"),
        pytest.param(10_000, 101, 10_000_000 + 20_000, id="the tier is dearer in the end"),
    ],
)
def test_the_bounds_look_into_every_tier_that_the_input_may_reach(
    input_bound: int, lower: int, upper: int
) -> None:
    cheaper = tier(100, 10**9, 2 * 10**9, cache_read=10**6)
    estimated = estimate(
        price(tiers=(cheaper,)),
        input_bound=input_bound,
        expected_input=input_bound,
        output_cap=10,
        expected_output=0,
    )
    assert (estimated.lower, estimated.upper) == (lower, upper)


def test_what_is_expected_is_charged_at_the_tier_it_passes() -> None:
    def expected(tokens: int) -> int:
        return estimate(
            price(tiers=LONG),
            input_bound=1000,
            expected_input=tokens,
            output_cap=10,
            expected_output=10,
        ).expected

    assert expected(100) == 300_000 + 150_000
    assert expected(101) == 606_000 + 200_000


def test_the_price_in_force_is_the_latest_that_has_begun() -> None:
    first = price(id=1)
    second = price(id=2, effective_from=START + timedelta(days=30))
    third = price(id=3, effective_from=START + timedelta(days=60))
    unordered = (second, third, first)
    moment = timedelta(microseconds=1)

    assert effective(unordered, START - moment) is None
    assert effective(unordered, START) == first
    assert effective(unordered, second.effective_from - moment) == first
    assert effective(unordered, second.effective_from) == second
    assert effective(unordered, START + timedelta(days=365)) == third
    assert effective((), START) is None
