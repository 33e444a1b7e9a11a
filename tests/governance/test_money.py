"""Money is exact: what goes in comes out, and what is finer than a nano-dollar rounds half-even."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.money import (
    NANO_DOLLARS,
    decimal_text,
    dollars_text,
    from_nano_dollars,
    to_nano_dollars,
)

amounts = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@given(amount=amounts)
def test_every_amount_survives_the_way_out_and_back(amount: int) -> None:
    assert to_nano_dollars(from_nano_dollars(amount)) == amount
    assert to_nano_dollars(Decimal(decimal_text(amount))) == amount


@given(amount=amounts)
def test_text_for_machines_has_all_nine_places_and_no_exponent(amount: int) -> None:
    whole, _, fraction = decimal_text(amount).partition(".")
    assert len(fraction) == 9
    assert (whole.lstrip("-") + fraction).isdigit()


@given(dollars=st.decimals(min_value=-(10**9), max_value=10**9, places=15))
def test_finer_amounts_are_rounded_once_half_even(dollars: Decimal) -> None:
    rounded = (dollars * NANO_DOLLARS).to_integral_value(ROUND_HALF_EVEN)
    assert to_nano_dollars(dollars) == int(rounded)


@pytest.mark.parametrize(
    ("dollars", "amount"),
    [
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000250000000001", 3),
        ("-0.0000000015", -2),
        ("1", 10**9),
        ("1E+3", 10**12),
        ("0", 0),
        ("-0", 0),
    ],
)
def test_half_a_nano_dollar_goes_to_the_even_neighbour(dollars: str, amount: int) -> None:
    assert to_nano_dollars(Decimal(dollars)) == amount


@pytest.mark.parametrize("dollars", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_is_an_error(dollars: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        to_nano_dollars(Decimal(dollars))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (12, "$0.000000012"),
        (12_500, "$0.000012"),
        (13_499, "$0.000013"),
        (1_000_000, "$0.001"),
        (1_250_000, "$0.0012"),
        (50_000_000, "$0.05"),
        (55_000_000, "$0.055"),
        (500_000_000, "$0.50"),
        (999_999_999, "$1.00"),
        (10**9, "$1.00"),
        (1_005_000_000, "$1.00"),
        (1_015_000_000, "$1.02"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-50_000_000, "-$0.05"),
        (-2_500_000_000, "-$2.50"),
    ],
)
def test_text_for_people(amount: int, shown: str) -> None:
    assert dollars_text(amount) == shown


@given(amount=st.integers(min_value=1, max_value=2**63 - 1))
def test_no_amount_looks_like_nothing(amount: int) -> None:
    shown = Decimal(dollars_text(amount).replace("$", "").replace(",", ""))
    exact = from_nano_dollars(amount)
    assert shown > 0
    assert abs(shown - exact) <= max(exact / 20, Decimal("0.000000001"))
