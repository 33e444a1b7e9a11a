"""What an upgrade makes of providers that are stored, and what going back leaves of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from pytest_django import DjangoDbBlocker

from providers import vault

BEFORE = ("providers", "0001_initial")
AFTER = ("providers", "0004_credential_column")


def migrate(*targets: tuple[str, str]) -> Any:
    """Migrate as `palyra migrate` does; the models as they are then."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets))
    executor.loader.build_graph()
    return executor.loader.project_state(list(targets)).apps


@pytest.fixture(scope="module")
def in_the_past(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """All of the way back takes as long as a dozen of these tests, so it is gone once."""
    with django_db_blocker.unblock():
        migrate(BEFORE)
    yield
    with django_db_blocker.unblock():
        migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


@pytest.fixture
def before(in_the_past: None, transactional_db: None) -> Any:
    """The models of the version before, with an empty database of theirs."""
    return migrate(BEFORE)


def add_provider(apps: Any, name: str, **fields: Any) -> Any:
    remote = {"kind": "openai_compatible", "base_url": "https://api.example.com/v1"}
    return apps.get_model("providers", "Provider").objects.create(name=name, **remote | fields)


def add_secret(apps: Any, name: str, text: str = "sk-text") -> Any:
    return apps.get_model("providers", "Secret").objects.create(
        name=name, ciphertext=vault.encrypt(text)
    )


@pytest.mark.django_db(transaction=True)
def test_a_credential_becomes_a_row_and_comes_back(before: Any) -> None:
    shared = add_secret(before, "shared")
    for name in ("one", "two"):
        add_provider(before, name, credential=shared)
    add_provider(before, "none", kind="deterministic", base_url="")

    after = migrate(AFTER)
    rows = after.get_model("providers", "Credential").objects.order_by("provider__name")
    assert [(row.provider.name, row.secret.name, row.position, row.enabled) for row in rows] == [
        ("one", "shared", 0, True),
        ("two", "shared", 0, True),
    ]
    secret = after.get_model("providers", "Secret").objects.get()
    assert vault.decrypt(secret.ciphertext).text == "sk-text"

    back = migrate(BEFORE)
    found = back.get_model("providers", "Provider").objects.order_by("name")
    assert [(one.name, one.credential and one.credential.name, one.enabled) for one in found] == [
        ("none", None, True),
        ("one", "shared", True),
        ("two", "shared", True),
    ]


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_changes_nothing_of_how_a_provider_is_called(before: Any) -> None:
    provider = add_provider(before, "quick", total_timeout=12.5)
    before.get_model("providers", "ProviderModel").objects.create(provider=provider, name="known")

    after = migrate(AFTER)
    row = after.get_model("providers", "Provider").objects.get()
    assert (row.concurrency_limit, row.credential_concurrency_limit) == (None, None)
    assert (row.first_token_timeout, row.total_timeout) == (12.5, 12.5)
    model = after.get_model("providers", "ProviderModel").objects.get()
    assert (model.metadata_source, model.aliases) == ("operator_override", [])
    assert (model.streaming, model.tools, model.json_mode) == (True, True, True)


@pytest.mark.parametrize(
    ("base_url", "private"),
    [
        ("", False),
        ("https://api.example.com/v1", False),
        ("https://93.184.215.14/v1", False),
        ("http://localhost:11434/v1", True),
        ("http://LOCALHOST.:11434/v1", True),
        ("http://ollama:11434/v1", True),
        ("http://gpu.lan/v1", True),
        ("http://gpu.corp.internal/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://192.168.1.5/v1", True),
        ("http://100.64.0.1/v1", True),
        ("http://169.254.1.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://[fe80::1%25eth0]/v1", True),
        ("http://[::ffff:10.0.0.1]/v1", True),
    ],
)
def test_which_addresses_are_plainly_private(base_url: str, private: bool) -> None:
    fill = import_module("providers.migrations.0003_credentials")
    assert fill.is_private(base_url) is private


@pytest.mark.django_db(transaction=True)
def test_addresses_that_were_private_before_stay_allowed(before: Any) -> None:
    add_provider(before, "here", base_url="http://127.0.0.1:11434/v1")
    add_provider(before, "there")
    rows = migrate(AFTER).get_model("providers", "Provider").objects
    allowed = dict(rows.values_list("name", "allow_private_base_url"))
    assert allowed == {"here": True, "there": False}


@pytest.mark.django_db(transaction=True)
def test_going_back_keeps_the_first_credential_that_is_in_use(before: Any) -> None:
    after = migrate(AFTER)
    provider = after.get_model("providers", "Provider").objects.create(
        name="many", kind="openai_compatible", base_url="https://api.example.com/v1"
    )
    rows = after.get_model("providers", "Credential").objects
    secrets = [add_secret(after, f"key-{number}") for number in range(3)]
    for position, enabled in ((2, True), (0, False), (1, True)):
        rows.create(provider=provider, secret=secrets[position], position=position, enabled=enabled)
    back = migrate(BEFORE)
    assert back.get_model("providers", "Provider").objects.get().credential.name == "key-1"


@pytest.mark.django_db(transaction=True)
def test_going_back_disables_what_the_version_before_cannot_do(before: Any) -> None:
    after = migrate(AFTER)
    providers = after.get_model("providers", "Provider").objects
    secrets = after.get_model("providers", "Secret").objects
    url = "https://api.example.com/v1"
    providers.create(name="claude", kind="anthropic", base_url=url)
    elsewhere = providers.create(name="elsewhere", kind="openai_compatible", base_url=url)
    providers.create(name="open", kind="openai_compatible", base_url=url)
    after.get_model("providers", "Credential").objects.create(
        provider=elsewhere, secret=secrets.create(name="env", reference="env:SOME_KEY")
    )
    back = migrate(BEFORE)
    found = back.get_model("providers", "Provider").objects
    assert dict(found.values_list("name", "enabled")) == {
        "claude": False,
        "elsewhere": False,
        "open": True,
    }
    # Its text never was here, so nothing remains that an upgrade could not read again.
    assert not back.get_model("providers", "Secret").objects.exists()
    migrate(AFTER)
