"""Providers and models in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from providers.models import Provider, ProviderKind, ProviderModel
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_provider

ADD = "admin:providers_provider_add"


def _written(browser: Client, **fields: Any) -> dict[str, Any]:
    sent = filled(browser.get(reverse(ADD)).content.decode(), "provider_form")
    return {**sent, "name": "host", "kind": ProviderKind.OPENAI_COMPATIBLE.value, **fields}


def _rows(*rows: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"models-TOTAL_FORMS": len(rows), "models-INITIAL_FORMS": 0}
    for number, row in enumerate(rows):
        defaults = {
            "role": "chat",
            "enabled": "on",
            "context_window": 1000,
            "max_output_tokens": 10,
        }
        sent |= {f"models-{number}-{name}": value for name, value in {**defaults, **row}.items()}
    return sent


def test_a_provider_is_added_with_its_models(browser: Client) -> None:
    sent = _written(browser, base_url="https://example.com/v1") | _rows(
        {"name": "small"}, {"name": "large", "is_default": "on"}
    )

    response = browser.post(reverse(ADD), sent)

    assert response.status_code == 302
    provider = Provider.objects.get()
    assert list(provider.models.values_list("name", "is_default")) == [
        ("large", True),
        ("small", False),
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"base_url": "ftp://example.com/v1"}, "must begin with http:// or https://"),
        ({"base_url": "https://user:pass@example.com"}, "store the key as a secret"),
        ({"base_url": ""}, "A provider of this kind needs a base URL."),
        ({"base_url": "https://example.com", "total_timeout": "0"}, "greater than or equal to 0.5"),
        ({"base_url": "https://example.com", "name": "not a slug"}, "Enter a valid"),
    ],
)
def test_a_provider_that_cannot_be_is_refused(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    response = browser.post(reverse(ADD), _written(browser, **fields))

    assert says in text_of(response.content.decode())
    assert not Provider.objects.exists()


def test_a_password_in_an_address_is_not_given_back(browser: Client) -> None:
    sent = _written(browser, base_url="https://user:hunter2@example.com/v1")

    html = browser.post(reverse(ADD), sent).content.decode()

    assert "store the key as a secret" in html


def test_what_the_form_does_not_show_is_not_stored(browser: Client) -> None:
    kind = ProviderKind.DETERMINISTIC.value
    browser.post(reverse(ADD), _written(browser, kind=kind, base_url="https://example.com/v1"))

    provider = Provider.objects.get()
    assert (provider.kind, provider.base_url) == (kind, "")


def test_rehearsal_fields_are_shown_for_rehearsals_only(browser: Client) -> None:
    html = browser.get(reverse(ADD)).content.decode()

    for kind, fields in (("deterministic", 2), ("openai_compatible", 3)):
        assert html.count(f'x-show="{escape(f"kind == {kind!r}")}"') == fields


def test_disabling_and_enabling_say_what_they_did(browser: Client) -> None:
    provider = make_provider(name="host")

    for action, enabled in (("disable", False), ("enable", True)):
        address = reverse("admin:providers_provider_do", args=[provider.pk, action])
        said = text_of(browser.post(address, follow=True).content.decode())
        provider.refresh_from_db()
        assert provider.enabled is enabled
        assert f"host is {action}d" in said


def test_another_model_becomes_the_default_in_one_step(browser: Client) -> None:
    former, other = make_model(is_default=True), make_model()

    browser.post(reverse("admin:providers_providermodel_do", args=[other.pk, "make_default"]))

    assert list(ProviderModel.objects.filter(is_default=True)) == [other]
    former.refresh_from_db()
    assert not former.is_default


def test_a_models_fields_are_named_in_the_providers_rows(browser: Client) -> None:
    provider = make_provider()
    make_model(provider=provider)

    page = reverse("admin:providers_provider_change", args=[provider.pk])
    html = browser.get(page).content.decode()

    assert 'aria-label="Context window"' in html
