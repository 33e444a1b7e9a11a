"""Secrets go in and never come out."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from providers import vault
from providers.models import Provider, ProviderKind, Secret

PLAIN = "sk-plain-text-0123456789"
OTHER = "sk-another-text-9876543210"
LIST = "admin:providers_secret_changelist"


@pytest.fixture
def secret(db: None) -> Secret:
    secret = Secret(name="openai")
    secret.set_text(PLAIN)
    secret.save()
    Provider.objects.create(
        name="host",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="https://example.com/v1",
        credential=secret,
    )
    return secret


def _page(secret: Secret, view: str = "change") -> str:
    return reverse(f"admin:providers_secret_{view}", args=[secret.pk])


def test_an_added_secret_is_encrypted_and_not_shown(browser: Client) -> None:
    response = browser.post(
        reverse("admin:providers_secret_add"), {"name": "openai", "text": PLAIN}, follow=True
    )

    stored = Secret.objects.get()
    assert vault.decrypt(stored.ciphertext).text == PLAIN
    assert PLAIN not in stored.ciphertext
    assert PLAIN not in response.content.decode()


def test_a_secret_is_required_when_added(browser: Client) -> None:
    response = browser.post(reverse("admin:providers_secret_add"), {"name": "openai", "text": ""})

    assert "This field is required." in response.content.decode()
    assert not Secret.objects.exists()


def test_no_page_shows_a_secret_or_its_ciphertext(browser: Client, secret: Secret) -> None:
    addresses = [reverse(LIST), *(_page(secret, view) for view in ("change", "history", "delete"))]
    addresses += [reverse("admin:providers_provider_changelist"), reverse("admin:index")]

    for address in addresses:
        html = browser.get(address).content.decode()
        assert PLAIN not in html, address
        assert secret.ciphertext not in html, address


def test_the_list_shows_the_last_four_and_what_uses_it(browser: Client, secret: Secret) -> None:
    html = browser.get(reverse(LIST)).content.decode()

    assert "…6789" in html
    assert "host" in html


def test_an_empty_field_keeps_the_secret(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret), {"name": "renamed", "text": ""})

    secret.refresh_from_db()
    assert secret.name == "renamed"
    assert vault.decrypt(secret.ciphertext).text == PLAIN


def test_a_new_text_replaces_the_secret(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret), {"name": "openai", "text": OTHER})

    secret.refresh_from_db()
    assert vault.decrypt(secret.ciphertext).text == OTHER
    assert secret.last_four == OTHER[-4:]


def test_a_refused_form_does_not_give_back_what_was_typed(browser: Client, secret: Secret) -> None:
    response = browser.post(_page(secret), {"name": "not a slug!", "text": OTHER})

    html = response.content.decode()
    assert "Enter a valid" in html
    assert OTHER not in html
    secret.refresh_from_db()
    assert vault.decrypt(secret.ciphertext).text == PLAIN


def test_neither_messages_nor_history_hold_the_secret(browser: Client, secret: Secret) -> None:
    response = browser.post(_page(secret), {"name": "openai", "text": OTHER}, follow=True)

    assert OTHER not in response.content.decode()
    entries = json.dumps(list(LogEntry.objects.values("object_repr", "change_message")))
    assert OTHER not in entries
    assert PLAIN not in entries
    assert OTHER not in browser.get(_page(secret, "history")).content.decode()


def test_a_secret_in_use_is_not_deleted(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret, "delete"), {"post": "yes"})

    assert Secret.objects.filter(pk=secret.pk).exists()


def test_the_secret_is_left_out_of_error_reports(browser: Client, secret: Secret) -> None:
    response = browser.post(_page(secret), {"name": "openai", "text": OTHER})

    assert vars(response.wsgi_request)["sensitive_post_parameters"] == ("text",)
