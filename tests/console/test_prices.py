"""Prices in dollars per million tokens, fixed once a call was charged by one."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import ModelCall, Price, PriceTier, Surface, TaskClass
from providers.models import ProviderModel
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_price, make_team, make_tier

ADD = "admin:governance_price_add"


@pytest.fixture
def model(db: None) -> ProviderModel:
    return make_model(name="large")


def _written(model: ProviderModel, **fields: Any) -> dict[str, Any]:
    return {
        "model": model.pk,
        "effective_from_0": "2026-03-01",
        "effective_from_1": "00:00:00",
        "uncached_input": "2.50",
        "output": "10",
        "cache_read": "",
        "cache_write_5m": "",
        "cache_write_1h": "",
        "per_request": "0",
        "source": "price list",
        "precision": "exact",
        "tiers-TOTAL_FORMS": "0",
        "tiers-INITIAL_FORMS": "0",
        **fields,
    }


def _page(price: Price) -> str:
    return reverse("admin:governance_price_change", args=[price.pk])


def _charge(price: Price) -> None:
    ModelCall.objects.create(
        team=make_team(),
        surface=Surface.OPENAI,
        task_class=TaskClass.PRIMARY_INTERACTIVE,
        requested_model="large",
        provider="host",
        model="large",
        status="succeeded",
        admitted_at=timezone.now(),
        price=price,
    )


def test_dollars_become_nano_dollars(browser: Client, model: ProviderModel) -> None:
    browser.post(reverse(ADD), _written(model, cache_read="0.000000001", per_request="0.01"))

    price = Price.objects.get()
    assert (price.uncached_input, price.output) == (2_500_000_000, 10_000_000_000)
    assert (price.cache_read, price.per_request) == (1, 10_000_000)
    assert price.cache_write_5m is None


def _tiers(*rows: dict[str, str]) -> dict[str, str]:
    """Rows of long contexts' rates, as the page sends them."""
    sent = {"tiers-TOTAL_FORMS": str(len(rows))}
    for number, row in enumerate(rows):
        sent |= {f"tiers-{number}-{name}": value for name, value in row.items()}
    return sent


def test_long_contexts_have_rates_of_their_own(browser: Client, model: ProviderModel) -> None:
    row = {"above": "200000", "uncached_input": "5", "output": "15.5", "cache_read": ""}
    browser.post(reverse(ADD), _written(model, **_tiers(row)))

    tier = PriceTier.objects.get()
    assert (tier.above, tier.uncached_input, tier.output) == (200_000, 5 * 10**9, 15_500_000_000)
    assert tier.cache_read is None
    html = browser.get(_page(tier.price)).content.decode()
    assert filled(html, "price_form")["tiers-0-output"] == "15.5"


def test_two_rates_for_the_same_length_are_refused(browser: Client, model: ProviderModel) -> None:
    row = {"above": "5", "uncached_input": "5", "output": "1"}
    response = browser.post(
        reverse(ADD), _written(model, **_tiers(row, row, {**row, "above": "0"}))
    )

    said = response.content.decode()
    assert "Another row has rates above that many tokens." in said
    assert "greater than or equal to 1" in said
    assert not Price.objects.exists()


def test_an_instant_is_read_in_the_viewers_zone(browser: Client, model: ProviderModel) -> None:
    browser.cookies["palyra_zone"] = "Europe/Prague"

    browser.post(reverse(ADD), _written(model))

    assert Price.objects.get().effective_from.isoformat() == "2026-02-28T23:00:00+00:00"


@pytest.mark.parametrize("field", ["uncached_input", "output", "cache_read", "per_request"])
def test_a_negative_price_is_refused_at_its_field(
    browser: Client, model: ProviderModel, field: str
) -> None:
    response = browser.post(reverse(ADD), _written(model, **{field: "-0.01"}))

    assert response.context["adminform"].form.errors.keys() == {field}
    assert not Price.objects.exists()


def test_a_price_is_editable_until_a_call_is_charged_by_it(
    browser: Client, model: ProviderModel
) -> None:
    price = make_price(model)
    make_tier(price)
    form = filled(browser.get(_page(price)).content.decode(), "price_form")
    assert (form["uncached_input"], form["output"]) == ("1", "2")
    browser.post(_page(price), {**form, "output": "3"})
    price.refresh_from_db()
    assert price.output == 3 * 10**9
    browser.post(_page(price), {**form, "tiers-0-output": "6"})
    assert price.tiers.get().output == 6 * 10**9

    _charge(price)
    page = browser.get(_page(price))

    assert "200,000 $2.00 $6.00 As input As input As input" in text_of(page.content.decode())
    assert "so it stays as it is" in text_of(page.content.decode())
    assert 'name="_save"' not in page.content.decode()
    assert browser.post(_page(price), {**form, "output": "4"}).status_code == 403
    delete = reverse("admin:governance_price_delete", args=[price.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    price.refresh_from_db()
    assert (price.output, price.tiers.get().output) == (2 * 10**9, 6 * 10**9)


def test_a_charged_price_is_not_deleted_with_others(browser: Client, model: ProviderModel) -> None:
    charged, free = make_price(model), make_price(make_model())
    _charge(charged)

    browser.post(
        reverse("admin:governance_price_changelist"),
        {"action": "delete_selected", "_selected_action": [charged.pk, free.pk], "post": "yes"},
    )

    assert Price.objects.filter(pk=charged.pk).exists()


def test_the_list_says_which_price_is_in_force(browser: Client, model: ProviderModel) -> None:
    make_price(model)
    make_price(model, effective_from="2026-01-01T00:00Z", uncached_input=5 * 10**9)
    make_price(model, effective_from="2100-01-01T00:00Z")

    html = browser.get(reverse("admin:governance_price_changelist")).content.decode()

    for state in ("In force", "Replaced", "Not yet in force"):
        assert html.count(f">{state}</span>") == 1
    assert "As input" in html
    assert "other for long contexts" not in html
    make_tier(Price.objects.latest("effective_from"))
    html = browser.get(reverse("admin:governance_price_changelist")).content.decode()
    assert html.count("other for long contexts") == 1
