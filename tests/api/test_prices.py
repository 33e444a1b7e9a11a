"""Models with their prices, and prices, through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.models import Price
from tests.api.callers import Caller, body_of, items_of
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.support.factories import LONG_AGO, make_model, make_price, make_tier

pytestmark = pytest.mark.django_db


def test_a_team_reads_models_with_the_price_in_force(integration: Caller) -> None:
    model = make_model(name="small", context_window=1000, max_output_tokens=100)
    make_price(model, uncached_input=1)
    make_price(model, effective_from=timezone.now() - timedelta(days=1), uncached_input=150_000_000)
    make_price(model, effective_from=timezone.now() + timedelta(days=1), uncached_input=3)
    make_model(name="unpriced")
    priced, unpriced = items_of(integration.get("/models"))
    assert priced["name"] == "small"
    assert priced["provider"] == model.provider.name
    assert (priced["context_window"], priced["max_output_tokens"]) == (1000, 100)
    assert (priced["enabled"], priced["provider_enabled"]) == (True, True)
    assert priced["price"]["uncached_input"] == "0.150000000"
    assert priced["price"]["output"] == "2.000000000"
    assert priced["price"]["cache_read"] is None
    assert unpriced["price"] is None


def test_a_price_is_added(organisation: Caller) -> None:
    model = make_model()
    response = organisation.post(
        "/prices",
        {
            "model": str(model.pk),
            "effective_from": "2026-03-01T10:00:00+01:00",
            "uncached_input": "0.15",
            "cache_read": "0.000000001",
            "output": "0.60",
        },
    )
    assert response.status_code == 201
    price = Price.objects.get()
    assert body_of(response) == {
        "id": str(price.pk),
        "model": str(model.pk),
        "effective_from": "2026-03-01T09:00:00.000000Z",
        "uncached_input": "0.150000000",
        "cache_read": "0.000000001",
        "cache_write_5m": None,
        "cache_write_1h": None,
        "output": "0.600000000",
        "per_request": "0.000000000",
        "source": "operator",
        "precision": "exact",
        "tiers": [],
    }
    assert (price.uncached_input, price.cache_read, price.output) == (150_000_000, 1, 600_000_000)
    listed = items_of(organisation.get("/prices", model=str(model.pk)))
    assert listed == [body_of(response)]


def test_a_price_has_rates_of_its_own_for_long_contexts(organisation: Caller) -> None:
    body = {
        "model": str(make_model().pk),
        "uncached_input": "1",
        "output": "2",
        "tiers": [
            {"above": 400_000, "uncached_input": "3", "output": "4"},
            {"above": 200_000, "uncached_input": "2", "cache_read": "0.5", "output": "3"},
        ],
    }
    response = organisation.post("/prices", body)
    assert response.status_code == 201
    low, high = body_of(response)["tiers"]
    assert low == {
        "above": 200_000,
        "uncached_input": "2.000000000",
        "cache_read": "0.500000000",
        "cache_write_5m": None,
        "cache_write_1h": None,
        "output": "3.000000000",
    }
    assert (high["above"], high["cache_read"]) == (400_000, None)
    assert items_of(organisation.get("/prices"))[0]["tiers"] == [low, high]
    assert items_of(organisation.get("/models"))[0]["price"]["tiers"] == [low, high]


def test_every_fault_of_every_tier_is_said(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    rates = {"uncached_input": "1", "output": "2"}
    tiers = [
        {**rates, "above": 0},
        {**rates, "above": 5, "output": "-1"},
        {**rates, "above": 5, "cache_read": "100001"},
    ]
    body = {"model": str(make_model().pk), **rates, "uncached_input": "-1", "tiers": tiers}
    with nothing_stored():
        problem = assert_problem(organisation.post("/prices", body), 422)
    assert [(fault["field"], fault["message"]) for fault in problem["errors"]] == [
        ("uncached_input", "Ensure this value is greater than or equal to 0."),
        ("tiers", "Above 0 tokens: Ensure this value is greater than or equal to 1."),
        ("tiers", "Above 5 tokens: Ensure this value is greater than or equal to 0."),
        ("tiers", "Above 5 tokens: The price cannot be above $100,000."),
        ("tiers", "Above 5 tokens: there are two of these."),
    ]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"uncached_input": "-0.15", "output": "-1"}, {"uncached_input", "output"}),
        ({"uncached_input": "cheap"}, {"uncached_input"}),
        ({"uncached_input": "NaN"}, {"uncached_input"}),
        ({"uncached_input": ""}, {"uncached_input"}),
        ({"uncached_input": 0.15}, {"uncached_input"}),
        ({"uncached_input": "0.0000000001"}, {"uncached_input"}),
        ({"uncached_input": "9999999999"}, {"uncached_input"}),
        ({"uncached_input": None}, {"uncached_input"}),
        ({"model": "999999", "precision": "vague"}, {"model", "precision"}),
        ({"model": "small"}, {"model"}),
        ({"model": 1}, {"model"}),
        ({"tiers": [{"above": "9", "uncached_input": "1", "output": "1"}]}, {"tiers.0.above"}),
        ({"tiers": [{"above": 9, "uncached_input": "1"}]}, {"tiers.0.output"}),
        ({"tiers": [{"above": 2**31, "uncached_input": "1", "output": "1"}]}, {"tiers.0.above"}),
        ({"effective_from": "2020-01-01T00:00:00Z"}, {None}),
        ({"effective_from": "2020-01-01"}, {"effective_from"}),
    ],
)
def test_a_bad_price_stores_nothing(
    organisation: Caller,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str | None],
) -> None:
    model = make_model()
    make_price(model, effective_from=LONG_AGO)
    body = {"model": str(model.pk), "uncached_input": "0.15", "output": "0.60"}
    with nothing_stored():
        found = faults(organisation.post("/prices", {**body, **changes}))
    assert found.keys() == fields


def test_models_take_few_queries(integration: Caller, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        make_tier(make_price(make_model()))
    with django_assert_max_num_queries(4):
        assert len(items_of(integration.get("/models"))) == 5
