"""A secret that was stored is nowhere to be read: in no page, answer, log, error or export."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from palyra_site.api.root import api
from providers import registry, vault
from providers.models import Secret
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in
from tests.console.pages import filled
from tests.console.permissions.walking import addresses

# Every page is looked at: once is enough.
pytestmark = pytest.mark.any_database
# By the console's form, by the API and from a preset; each marked, so that a find says which.
SECRETS = {way: f"sk-stays-in-{way}-0123456789" for way in ("form", "api", "preset")}
ADD = "admin:providers_secret_add"
PRESET = "/admin/providers/provider/presets/groq/"


def assert_clean(text: str, where: str) -> None:
    for way, secret in SECRETS.items():
        assert secret not in text, f"{where} tells what came by the {way}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged from here on, down to the last SQL statement."""
    names = [None, *logging.root.manager.loggerDict]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def root(seeded: Seeded) -> Client:
    return signed_in(seeded.administrator)


def store_all(root: Client) -> Iterator[Any]:
    """Store each secret its own way; the answers."""
    yield root.post(reverse(ADD), {"name": "by-form", "text": SECRETS["form"]}, follow=True)
    provider = {
        "name": "by-api",
        "kind": "openai_compatible",
        "base_url": "https://api.example.com/v1",
        "credentials": [{"secret": SECRETS["api"]}],
    }
    yield root.post("/api/v1/providers", json.dumps(provider), "application/json")
    sent = filled(root.get(PRESET).content.decode(), "preset_form")
    yield root.post(PRESET, {**sent, "key": SECRETS["preset"]}, follow=True)


def listed_in_the_api() -> Iterator[str]:
    document = api.get_openapi_schema(path_prefix="/api/v1/")
    for path, methods in document["paths"].items():
        if "get" in methods and "{" not in path:
            yield path
    yield "/api/v1/openapi.json"
    yield "/api/v1/providers/by-api"


def test_nothing_gives_it_back(
    root: Client, log: pytest.LogCaptureFixture, settings: Settings
) -> None:
    # So that SQL is logged with what it was given.
    settings.DEBUG = True
    for answer in store_all(root):
        assert answer.status_code < 400, answer.content
        assert_clean(answer.content.decode(), "an answer")
    stored = {vault.decrypt(one.ciphertext).text for one in Secret.objects.exclude(ciphertext="")}
    assert set(SECRETS.values()) <= stored

    for _, address in addresses():
        if "/do/" not in address:
            assert_clean(root.get(address).getvalue().decode(), address)
    for secret in Secret.objects.all():
        for view in ("change", "history", "delete"):
            address = reverse(f"admin:providers_secret_{view}", args=[secret.pk])
            assert_clean(root.get(address).getvalue().decode(), address)
    for path in listed_in_the_api():
        answer = root.get(path)
        said = b"".join(answer) if answer.streaming else answer.content
        assert_clean(said.decode(), path)

    assert_clean(repr(registry.load()), "the registry")
    assert_clean(said_by_commands(), "a command")
    for model in apps.get_models():
        rows = list(model._default_manager.values())
        assert_clean(str(rows), model._meta.label)
    assert "providers_secret" in log.text
    assert_clean(log.text, "the log")


def said_by_commands() -> str:
    out = StringIO()
    for command in (("vault", "status"), ("vault", "rotate"), ("vault", "status", "--json")):
        call_command(*command, stdout=out, stderr=out)
    call_command("dumpdata", "providers", "admin", stdout=out)
    call_command("check", stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_does_not_give_it_away_either(
    root: Client,
    log: pytest.LogCaptureFixture,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    debug: bool,
) -> None:
    settings.DEBUG = debug

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(Secret, "save", fail)
    root.raise_request_exception = False
    for answer in store_all(root):
        assert answer.status_code == 500
        assert_clean(answer.content.decode(), "an error page")
    assert "the disk is on fire" in log.text
    assert_clean(log.text, "the log")


@pytest.mark.parametrize("debug", [False, True])
def test_nor_does_one_while_it_is_encrypted(
    root: Client,
    log: pytest.LogCaptureFixture,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    debug: bool,
) -> None:
    settings.DEBUG = debug

    def fail(*_: Any) -> None:
        raise RuntimeError("no entropy left")

    monkeypatch.setattr("providers.vault._cipher", fail)
    root.raise_request_exception = False
    for answer in store_all(root):
        assert answer.status_code == 500
        assert_clean(answer.content.decode(), "an error page")
    assert_clean(log.text, "the log")
