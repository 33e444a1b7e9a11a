"""The vault: secrets are encrypted at rest, masked everywhere, and read with the right key only."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from providers import vault
from providers.models import Secret
from providers.vault import MASK, SecretText, VaultError
from tests.providers.entries import provider_entry

TEXT = "sk-a-credential-of-some-length-4321"


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_what_was_encrypted_comes_back(text: str) -> None:
    ciphertext = vault.encrypt(text)
    assert ciphertext.isascii()
    assert vault.decrypt(ciphertext).text == text


def test_the_same_text_is_never_encrypted_the_same() -> None:
    assert vault.encrypt(TEXT) != vault.encrypt(TEXT)


def test_another_key_cannot_read_it(settings: Settings) -> None:
    ciphertext = vault.encrypt(TEXT)
    settings.PALYRA_VAULT_KEY = Fernet.generate_key().decode()
    with pytest.raises(VaultError) as caught:
        vault.decrypt(ciphertext)
    assert "PALYRA_VAULT_KEY" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("damage", ["", "not a token", "ÿ"])
def test_a_damaged_ciphertext_is_the_same_fault(damage: str) -> None:
    with pytest.raises(VaultError):
        vault.decrypt(damage)


def test_a_ciphertext_that_was_changed_is_refused() -> None:
    ciphertext = vault.encrypt(TEXT)
    middle = len(ciphertext) // 2
    other = "A" if ciphertext[middle] != "A" else "B"
    with pytest.raises(VaultError):
        vault.decrypt(ciphertext[:middle] + other + ciphertext[middle + 1 :])


def test_a_decrypted_secret_prints_nothing_of_itself() -> None:
    secret = SecretText(TEXT)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret):  # noqa: UP031
        assert TEXT not in shown
        assert MASK in shown
    assert TEXT not in repr(provider_entry(key=TEXT))
    assert TEXT not in repr([secret])


@pytest.mark.django_db
def test_neither_the_text_nor_the_vaults_key_is_in_the_database(settings: Settings) -> None:
    secret = Secret(name="openai")
    secret.set_text(TEXT)
    secret.save()

    stored = Secret.objects.values().get()
    assert TEXT not in str(stored)
    assert settings.PALYRA_VAULT_KEY not in str(stored)
    assert stored["last_four"] == "4321"
    assert vault.decrypt(stored["ciphertext"]).text == TEXT


def test_of_a_short_secret_not_even_the_ending_is_kept() -> None:
    secret = Secret(name="short")
    secret.set_text("fifteen letters")
    assert secret.last_four == ""
    secret.set_text("sixteen letters!")
    assert secret.last_four == "ers!"
