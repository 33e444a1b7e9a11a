"""Secrets by name: found, or stored where they are named for the first time."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from providers import vault
from providers.credentials import find_secret, free_name, secret_for, store_secret
from providers.models import Secret
from tests.support.factories import make_secret

pytestmark = pytest.mark.django_db


def test_a_stored_one_is_found_by_its_name() -> None:
    secret = make_secret(name="openai")
    assert secret.label == "vault:openai"
    assert secret_for("vault:openai") == secret


@pytest.mark.parametrize("reference", ["env:OPENAI_API_KEY", "file:/run/secrets/openai"])
def test_one_that_is_kept_elsewhere_is_stored_once(reference: str) -> None:
    assert find_secret(reference) is None
    secret = secret_for(reference)
    assert (secret.reference, secret.label) == (reference, reference)
    assert secret_for(reference) == find_secret(reference) == secret
    assert find_secret(f"vault:{secret.name}") == secret
    assert Secret.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vault:nowhere", "no stored secret of this name"),
        ("vault:", "no stored secret of this name"),
        ("vault:a b", "no stored secret of this name"),
        ("vault:a\0b", "no stored secret of this name"),
        ("openai", "Give vault:name for a stored secret"),
        ("", "Give vault:name for a stored secret"),
        ("env:", "Give vault:name for a stored secret"),
        ("env:PALYRA_VAULT_KEY", "Palyra's own"),
        ("file:/proc/self/environ", "Palyra's own files"),
        (f"file:/{'x' * 300}", "at most 300 characters"),
    ],
)
def test_what_names_none(text: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        secret_for(text)
    assert not Secret.objects.exists()


def test_a_new_text_gets_a_name_that_is_free() -> None:
    names = [store_secret("acme", f" sk-{number}\n").name for number in range(3)]
    assert names == ["acme", "acme-2", "acme-3"]
    stored = Secret.objects.order_by("name")
    assert [vault.decrypt(one.ciphertext).text for one in stored] == ["sk-0", "sk-1", "sk-2"]


def test_a_text_of_blanks_is_none() -> None:
    with pytest.raises(ValidationError, match="The secret is empty"):
        store_secret("acme", " \n")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("acme", "acme"),
        ("env:OPENAI_API_KEY", "env-openai_api_key"),
        ("file:/run/secrets/key", "file-run-secrets-key"),
        ("x" * 80, "x" * 50),
        ("…", "secret"),
    ],
)
def test_names(wanted: str, name: str) -> None:
    assert free_name(wanted) == name
    make_secret(name=name)
    other = free_name(wanted)
    assert other != name
    make_secret(name=other)
