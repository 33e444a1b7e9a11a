"""Secrets go in and never come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from providers import vault
from providers.models import Secret
from tests.support.factories import make_credential, make_remote

# A form, and what no page shows: once is enough.
pytestmark = pytest.mark.any_database
PLAIN = "sk-plain-text-0123456789"
OTHER = "sk-another-text-9876543210"
LIST = "admin:providers_secret_changelist"


@pytest.fixture
def secret(db: None) -> Secret:
    secret = Secret(name="openai")
    secret.set_text(PLAIN)
    secret.save()
    make_credential(make_remote(name="host"), secret=secret)
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

    assert "Give the secret, or a reference to where it is kept." in response.content.decode()
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


REFERENCE = "env:OPENAI_API_KEY"


def test_a_secret_that_is_kept_elsewhere_is_added_and_shown(browser: Client) -> None:
    sent = {"name": "openai", "text": "", "reference": REFERENCE}
    html = browser.post(reverse("admin:providers_secret_add"), sent, follow=True).content.decode()

    stored = Secret.objects.get()
    assert (stored.reference, stored.ciphertext) == (REFERENCE, "")
    assert REFERENCE in html


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Give the secret, or a reference to where it is kept."),
        ({"text": "  "}, "Give the secret, or a reference to where it is kept."),
        ({"text": PLAIN, "reference": REFERENCE}, "either the secret or a reference, not both"),
        ({"reference": "env:PALYRA_VAULT_KEY"}, "own and is not lent to providers"),
        ({"reference": "file:/proc/self/environ"}, "own files, and the system"),
        ({"reference": "openai"}, "Give env:NAME"),
    ],
)
def test_one_that_is_neither_or_both_is_refused(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    sent = {"name": "openai", "text": "", "reference": "", **fields}
    html = browser.post(reverse("admin:providers_secret_add"), sent).content.decode()

    assert says in html
    assert PLAIN not in html
    assert not Secret.objects.exists()


def test_a_text_and_a_reference_take_each_others_place(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret), {"name": "openai", "text": "", "reference": REFERENCE})
    secret.refresh_from_db()
    assert (secret.reference, secret.ciphertext, secret.last_four) == (REFERENCE, "", "")

    # As the page has it: the reference stands in its field.
    browser.post(_page(secret), {"name": "openai", "text": OTHER, "reference": REFERENCE})
    secret.refresh_from_db()
    assert secret.reference == ""
    assert vault.decrypt(secret.ciphertext).text == OTHER


def test_a_reference_is_not_emptied(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret), {"name": "openai", "text": "", "reference": REFERENCE})
    html = browser.post(_page(secret), {"name": "openai", "text": "", "reference": ""})

    assert "Give the secret, or a reference" in html.content.decode()
    secret.refresh_from_db()
    assert secret.reference == REFERENCE


def test_a_refused_form_shows_the_ending_that_is_stored(browser: Client, secret: Secret) -> None:
    html = browser.post(_page(secret), {"name": "not a slug!", "text": OTHER}).content.decode()

    assert "…6789" in html
    assert OTHER[-4:] not in html


def test_a_vault_without_its_key_says_so(
    browser: Client, secret: Secret, settings: Settings, data_dir: Path
) -> None:
    settings.PALYRA_VAULT_KEY_PATH = data_dir / "vault.key"
    html = browser.post(_page(secret), {"name": "openai", "text": OTHER}).content.decode()

    assert "vault.key is missing" in html
    assert OTHER not in html


@pytest.mark.every_database
def test_a_secret_in_use_is_not_deleted(browser: Client, secret: Secret) -> None:
    browser.post(_page(secret, "delete"), {"post": "yes"})

    assert Secret.objects.filter(pk=secret.pk).exists()


def test_the_secret_is_left_out_of_error_reports(browser: Client, secret: Secret) -> None:
    response = browser.post(_page(secret), {"name": "openai", "text": OTHER})

    assert vars(response.wsgi_request)["sensitive_post_parameters"] == ("text",)
