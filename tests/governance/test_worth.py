"""What caches saved, and what the same tokens cost elsewhere: pure."""

from __future__ import annotations

from typing import Any

from governance.pricing import PriceEntry
from governance.usage.reports import Totals
from governance.usage.worth import PricedModel, compare
from tests.support.factories import LONG_AGO

MILLION = 1_000_000


def model(name: str, rate: int | None, **fields: Any) -> PricedModel:
    price = (
        None
        if rate is None
        else PriceEntry(
            id=1,
            model_id=1,
            effective_from=LONG_AGO,
            uncached_input=rate,
            output=2 * rate,
            cache_read=rate // 10,
            cache_write_5m=rate * 5 // 4,
            per_request=3,
        )
    )
    values: dict[str, Any] = {"name": name, "is_usable": True, "is_default": False, "price": price}
    return PricedModel(**{**values, **fields})


MODELS = {
    "p/small": model("p/small", 100),
    "p/big": model("p/big", 1000, is_default=True),
    "p/gone": model("p/gone", 9000, is_usable=False),
    "p/unpriced": model("p/unpriced", None),
}


def used(**fields: int) -> Totals:
    return Totals(**{"calls": 1, "succeeded": 1, "requests": 1} | fields)


def test_all_tokens_at_the_default_and_at_the_dearest_that_can_be_used() -> None:
    found = compare(
        {"p/small": used(uncached_input_tokens=MILLION, output_tokens=MILLION, cost=303)}, MODELS
    )

    assert (found.default, found.at_default) == ("p/big", 3003)
    assert (found.dearest, found.at_dearest) == ("p/big", 3003)
    assert found.rows[0].at_default == 3003


def test_a_kept_answer_is_worth_what_others_of_its_model_cost() -> None:
    found = compare({"p/small": used(calls=5, succeeded=5, cached=2, cost=90)}, MODELS)

    assert found.kept_answers == 60


def test_nothing_but_kept_answers_are_worth_what_nobody_knows() -> None:
    assert compare({"p/small": used(cached=1)}, MODELS).kept_answers == 0


def test_what_is_written_to_a_providers_cache_costs_more() -> None:
    read = compare({"p/big": used(cache_read_tokens=MILLION)}, MODELS)
    wrote = compare({"p/big": used(cache_write_5m_tokens=MILLION)}, MODELS)

    assert (read.prompt_cache, wrote.prompt_cache) == (900, -250)


def test_what_is_no_chat_is_left_out_and_counted() -> None:
    found = compare({"p/small": used(), "p/vectors": used(calls=7, cost=5)}, MODELS)

    assert (found.unlike, found.totals.calls) == (7, 1)


def test_without_a_default_or_a_price_nothing_is_compared() -> None:
    found = compare({"p/unpriced": used()}, {"p/unpriced": MODELS["p/unpriced"]})

    assert (found.default, found.at_default, found.dearest, found.at_dearest) == (
        "",
        None,
        "",
        None,
    )


def test_calls_of_unknown_cost_are_in_the_comparison_and_counted() -> None:
    found = compare(
        {
            "p/small": used(calls=4, unpriced=1, cost=5),
            "p/unpriced": used(calls=2, unpriced=2, requests=2, output_tokens=MILLION),
        },
        MODELS,
    )

    assert (found.totals.cost, found.at_default) == (5, 2000 + 3 * 3)
    assert found.unpriced == 3


def test_what_an_answer_cost_on_average_leaves_out_those_of_unknown_cost() -> None:
    of_ten = used(calls=10, succeeded=10, cached=1, unpriced=8, cost=1000)
    found = compare({"p/small": of_ten}, {"p/small": MODELS["p/small"]})
    assert found.rows[0].kept_answers == 1000
