"""What is made of the list's data: tiers, hours, lengths of cached input, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from providers.discovery import NoPrice, ProposedPrice, ProposedTier
from providers.discovery.price_list import BY_THE_HOUR, NO_LIST, NOT_BY_TOKENS, price_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PLAIN: Mapping[str, Any] = {"input_mtok": Decimal(2), "output_mtok": Decimal(8)}


def tiered(base: int, *tiers: tuple[int, int]) -> TieredPrices:
    return TieredPrices(Decimal(base), [Tier(start, Decimal(price)) for start, price in tiers])


def listed(prices: Any) -> ModelInfo:
    return ModelInfo(id="x", match=ClauseEquals("x"), prices=prices)


def of(amounts: Mapping[str, Any], role: str = "chat") -> ProposedPrice | NoPrice:
    return price_of(listed(ModelPrice(**amounts)), role, NOW)


def priced(found: ProposedPrice | NoPrice) -> ProposedPrice:
    assert isinstance(found, ProposedPrice), found
    return found


def said(found: ProposedPrice) -> tuple[Any, ...]:
    return tuple(found.amounts().values())


def test_buckets_are_told_apart_and_missing_ones_left_to_the_input() -> None:
    found = priced(of({**PLAIN, "cache_read_mtok": Decimal("0.2")}))

    assert said(found) == (2, 8, Decimal("0.2"), None, None)
    assert (found.tiers, found.note, found.precision) == ((), "", "estimate")


@pytest.mark.parametrize(
    ("amounts", "short", "long"),
    [
        pytest.param({"cache_write_mtok": 3}, 3, 3, id="one price for both"),
        pytest.param({"cache_write_mtok": 3, "cache_write_1h_mtok": 4}, 3, 4, id="an hour's own"),
        pytest.param({"cache_write_mtok": 3, "cache_write_5m_mtok": 2}, 2, 3, id="5 minutes' own"),
        pytest.param({"cache_write_1h_mtok": 4}, None, 4, id="an hour's only"),
    ],
)
def test_a_write_to_the_cache_costs_what_its_length_does(
    amounts: dict[str, int], short: int | None, long: int | None
) -> None:
    found = priced(of({**PLAIN, **{name: Decimal(amount) for name, amount in amounts.items()}}))

    assert (found.cache_write_5m, found.cache_write_1h) == (short, long)


def test_each_threshold_of_any_bucket_is_a_tier_of_all() -> None:
    found = priced(
        of(
            {
                "input_mtok": tiered(2, (200, 4), (100, 3)),
                "output_mtok": tiered(8, (150, 9)),
                "cache_read_mtok": Decimal(1),
            }
        )
    )

    assert said(found) == (2, 8, 1, None, None)
    assert found.tiers == (
        ProposedTier(
            above=100, uncached_input=Decimal(3), output=Decimal(8), cache_read=Decimal(1)
        ),
        ProposedTier(
            above=150, uncached_input=Decimal(3), output=Decimal(9), cache_read=Decimal(1)
        ),
        ProposedTier(
            above=200, uncached_input=Decimal(4), output=Decimal(9), cache_read=Decimal(1)
        ),
    )


def test_a_tier_from_the_first_token_on_is_the_price_itself() -> None:
    found = priced(of({"input_mtok": tiered(2, (0, 3)), "output_mtok": Decimal(8)}))

    assert found.uncached_input == 3
    assert not found.tiers


def test_a_price_by_the_hour_is_that_of_the_dearest() -> None:
    night = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(9), cache_read_mtok=Decimal(1))
    day = ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(8))
    hours = TimeOfDateConstraint(time(8, tzinfo=UTC), time(20, tzinfo=UTC))
    model = listed([ConditionalPrice(prices=night), ConditionalPrice(hours, prices=day)])

    for hour in (0, 8, 12, 20, 23):
        found = priced(price_of(model, "chat", NOW.replace(hour=hour)))
        assert said(found) == (2, 9, 2, 2, 2)
        assert found.note == BY_THE_HOUR


def test_a_price_to_come_is_said_and_not_yet_taken() -> None:
    coming = ConditionalPrice(
        StartDateConstraint(date(2027, 1, 1)),
        prices=ModelPrice(input_mtok=Decimal(3), output_mtok=Decimal(9)),
    )
    model = listed([ConditionalPrice(prices=ModelPrice(**PLAIN)), coming])

    found = priced(price_of(model, "chat", NOW))
    assert found.uncached_input == 2
    assert "from 2027-01-01" in found.note
    then = priced(price_of(model, "chat", datetime(2027, 1, 1, tzinfo=UTC)))
    assert then.uncached_input == 3
    assert not then.note


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("input_audio_mtok", "Audio"),
        ("output_image_mtok", "Images"),
        ("output_reasoning_mtok", "Reasoning"),
        ("web_searches_kcount", "Searches"),
    ],
)
def test_what_the_numbers_leave_out_is_said(name: str, note: str) -> None:
    assert priced(of({**PLAIN, name: Decimal(5)})).note.startswith(note)


def test_a_fixed_price_is_that_of_one_request() -> None:
    assert priced(of({**PLAIN, "requests_kcount": Decimal(5)})).per_request == Decimal("0.005")


@pytest.mark.parametrize(
    ("role", "amounts", "reason"),
    [
        ("chat", {"input_mtok": Decimal(2)}, NOT_BY_TOKENS),
        ("chat", {"requests_kcount": Decimal(2)}, NOT_BY_TOKENS),
        ("audio_transcription", {"audio_hours": Decimal(2)}, NOT_BY_TOKENS),
        ("chat", {**PLAIN, "cache_read_mtok": Decimal(100_001)}, NO_LIST),
        ("chat", {**PLAIN, "input_mtok": tiered(2, (5, 100_001))}, NO_LIST),
    ],
)
def test_what_cannot_be_said_here_is_not_proposed(
    role: str, amounts: dict[str, Any], reason: str
) -> None:
    assert of(amounts, role) == NoPrice(reason)
