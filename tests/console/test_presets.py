"""Adding one of the usual hosts in the console."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from providers import vault
from providers.models import Provider, Secret
from providers.presets import PRESETS
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import make_provider, make_secret

# A form and its faults: once is enough.
pytestmark = pytest.mark.any_database
KEY = "sk-a-pasted-key-0123456789"
PICK = "/admin/providers/provider/presets/"
OPENAI = f"{PICK}openai/"


def form_of(browser: Client, address: str) -> dict[str, Any]:
    """The form as a browser would send it, with every model ticked as it is shown."""
    html = browser.get(address).content.decode()
    sent = filled(html, "preset_form")
    if "models" in sent:
        form = browser.get(address).context["form"]
        sent["models"] = form.initial["models"]
    return sent


def test_the_list_of_providers_leads_there(browser: Client) -> None:
    html = browser.get(reverse("admin:providers_provider_changelist")).content.decode()
    assert f'href="{PICK}"' in html


def test_every_host_can_be_picked(browser: Client) -> None:
    html = browser.get(PICK).content.decode()
    for preset in PRESETS:
        assert preset.display_name in html
        page = browser.get(f"{PICK}{preset.key}/")
        assert page.status_code == 200
        assert preset.key_from in text_of(page.content.decode())
    assert browser.get(f"{PICK}nobody/").status_code == 404


def test_a_host_is_added_with_its_key_and_models(browser: Client) -> None:
    reply = browser.post(OPENAI, {**form_of(browser, OPENAI), "key": KEY})

    provider = Provider.objects.get()
    assert reply["Location"] == reverse("admin:providers_provider_change", args=[provider.pk])
    assert provider.models.count() == 6
    (credential,) = provider.credentials.all()
    assert vault.decrypt(credential.secret.ciphertext).text == KEY
    said = text_of(browser.get(reply["Location"]).content.decode())
    assert "OpenAI is added, with 6 models. Now test the connection" in said
    assert KEY not in said
    entries = str(list(LogEntry.objects.values()))
    assert "Added from a preset" in entries
    assert KEY not in entries


def test_only_the_models_that_are_ticked_are_added(browser: Client) -> None:
    sent = {**form_of(browser, OPENAI), "key": KEY, "models": ["gpt-5.4-mini"]}
    browser.post(OPENAI, sent)
    assert [model.name for model in Provider.objects.get().models.all()] == ["gpt-5.4-mini"]


def test_a_second_of_the_same_host_is_offered_another_name(browser: Client) -> None:
    make_provider(name="openai")
    assert form_of(browser, OPENAI)["name"] == "openai-2"


def test_a_secret_that_is_stored_can_be_chosen(browser: Client) -> None:
    secret = make_secret(name="mine")
    browser.post(OPENAI, {**form_of(browser, OPENAI), "secret": secret.pk})
    assert [one.secret for one in Provider.objects.get().credentials.all()] == [secret]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "OpenAI wants a key."),
        ({"key": KEY, "secret": "mine"}, "Give either the key or a secret"),
        ({"key": KEY, "base_url": "ftp://example.com"}, "must begin with http:// or https://"),
        ({"key": KEY, "name": "no slug"}, "Enter a valid"),
        ({"key": KEY, "models": ["gpt-1"]}, "gpt-1 is not one of the available choices"),
    ],
)
def test_a_form_that_cannot_be_is_refused_and_keeps_the_key_to_itself(
    browser: Client, fields: dict[str, Any], says: str
) -> None:
    secret = make_secret(name="mine")
    chosen = {"secret": secret.pk} if "secret" in fields else {}
    html = browser.post(OPENAI, {**form_of(browser, OPENAI), **fields, **chosen}).content.decode()

    assert says in html
    assert KEY not in html
    assert not Provider.objects.exists()
    assert list(Secret.objects.all()) == [secret]


def test_a_fault_is_read_out_with_its_field(browser: Client) -> None:
    html = browser.post(OPENAI, {**form_of(browser, OPENAI), "name": "no slug"}).content.decode()
    field = re.search(r'<input[^>]* name="name"[^>]*>', html)
    assert field is not None
    described = re.search(r'aria-describedby="([^"]*)"', field[0])
    assert described is not None
    for name in described[1].split():
        assert f'id="{name}"' in html


def test_who_may_not_write_secrets_brings_no_key(db: None) -> None:
    may = ("add_provider", "view_provider", "add_providermodel")
    keeper = signed_in(staff("keeper", *(f"providers.{name}" for name in may)))
    address = f"{PICK}ollama/"
    sent = form_of(keeper, address)
    assert not {"key", "secret"} & sent.keys()
    keeper.post(address, {**sent, "key": KEY})
    assert not Provider.objects.get(name="ollama").credentials.exists()
    assert not Secret.objects.exists()
    html = keeper.post(OPENAI, form_of(keeper, OPENAI)).content.decode()
    assert "OpenAI wants a key." in html


def test_the_key_is_left_out_of_error_reports(browser: Client) -> None:
    reply = browser.post(OPENAI, {"key": KEY})
    assert vars(reply.wsgi_request)["sensitive_post_parameters"] == ("key",)


def test_it_wants_the_forms_token(browser: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(OPENAI, {"key": KEY, "name": "openai"}).status_code == 403
    assert not Provider.objects.exists()
