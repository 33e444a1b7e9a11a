"""The vault: secrets are encrypted at rest, masked everywhere, and read with the right key only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from providers import keyfile, vault
from providers.models import Secret
from providers.vault import MASK, SecretText, VaultError, VaultKeyError
from tests.providers.entries import provider_entry
from tests.support.factories import make_secret

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


def test_the_first_of_several_keys_encrypts_and_all_decrypt(settings: Settings) -> None:
    old, new, other = (vault.new_key() for _ in range(3))
    settings.PALYRA_VAULT_KEY = old
    before = vault.encrypt(TEXT)
    settings.PALYRA_VAULT_KEY = f"{new}, {old}"
    after = vault.encrypt(TEXT)
    assert [vault.decrypt(one).text for one in (before, after)] == [TEXT, TEXT]
    settings.PALYRA_VAULT_KEY = f"{other},{new}"
    assert vault.decrypt(after).text == TEXT
    with pytest.raises(VaultError):
        vault.decrypt(before)


class TestOwnFile:
    """Palyra's own key file, which another process may replace at any time."""

    @pytest.fixture
    def path(self, settings: Settings, data_dir: Path) -> Path:
        settings.PALYRA_VAULT_KEY = ""
        settings.PALYRA_VAULT_KEY_PATH = data_dir / "vault.key"
        vault.make_key()
        return data_dir / "vault.key"

    def test_it_is_made_once(self, path: Path) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_text()
        vault.make_key()
        assert path.read_text() == before

    def test_a_key_that_was_put_in_front_encrypts_at_once(self, path: Path) -> None:
        (old,), new = vault.keys(), vault.new_key()
        before = vault.encrypt(TEXT)
        keyfile.replace(path, f"{new},{old}")
        assert vault.key_of(vault.encrypt(TEXT), (new,)) == new
        assert vault.decrypt(before).text == TEXT

    def test_what_cannot_be_read_is_tried_with_the_file_as_it_is_now(self, path: Path) -> None:
        assert len(vault.keys()) == 1
        new = vault.new_key()
        ciphertext = Fernet(new).encrypt(TEXT.encode()).decode()
        with pytest.raises(VaultError):
            vault.decrypt(ciphertext)
        keyfile.replace(path, new)
        assert vault.decrypt(ciphertext).text == TEXT

    def test_what_was_read_before_a_key_went_can_be_decrypted_after_it(self, path: Path) -> None:
        ciphertext = vault.encrypt(TEXT)
        keyfile.replace(path, vault.new_key())
        vault.encrypt("something else")
        assert vault.decrypt(ciphertext).text == TEXT

    def test_a_ciphertext_is_brought_under_the_first_key(self, path: Path) -> None:
        before = vault.encrypt(TEXT)
        assert vault.under_first_key(before) == before
        new = vault.new_key()
        keyfile.replace(path, f"{new},{path.read_text()}")
        after = vault.under_first_key(before)
        assert vault.key_of(after, (new,)) == new
        assert vault.decrypt(after).text == TEXT
        assert vault.under_first_key("not a token") == "not a token"

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "is missing"),
            (b"", "does not hold a key"),
            (b"hunter2", "does not hold a key"),
            (b"\xff", "cannot be read (it is not text)"),
        ],
    )
    def test_a_file_without_a_key_is_named(
        self, path: Path, content: bytes | None, says: str
    ) -> None:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        for use in (lambda: vault.encrypt(TEXT), lambda: vault.decrypt("x")):
            with pytest.raises(VaultKeyError) as caught:
                use()
            assert f"{path} {says}" in str(caught.value)
            assert "hunter2" not in str(caught.value)

    @pytest.mark.django_db
    def test_one_that_is_missing_is_made_while_nothing_is_encrypted(self, path: Path) -> None:
        path.unlink()
        make_secret(TEXT)
        assert path.exists()

    @pytest.mark.django_db
    def test_it_is_not_made_anew_beside_secrets_it_could_not_read(self, path: Path) -> None:
        make_secret(TEXT)
        path.unlink()
        with pytest.raises(ValidationError, match="is missing, and 1 stored secret is encrypted"):
            make_secret(TEXT)
        assert not path.exists()

    @pytest.mark.django_db
    def test_a_secret_is_stored_under_the_key_of_the_moment_it_is_saved(self, path: Path) -> None:
        secret = Secret(name="late")
        secret.set_text(TEXT)
        new = vault.new_key()
        keyfile.replace(path, new)
        secret.save()
        stored = Secret.objects.get()
        assert vault.key_of(stored.ciphertext, (new,)) == new
        assert vault.decrypt(stored.ciphertext).text == TEXT


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
def test_neither_the_text_nor_the_vaults_key_is_in_the_database() -> None:
    secret = Secret(name="openai")
    secret.set_text(TEXT)
    secret.save()

    stored = Secret.objects.values().get()
    assert TEXT not in str(stored)
    assert vault.keys()[0] not in str(stored)
    assert stored["last_four"] == "4321"
    assert vault.decrypt(stored["ciphertext"]).text == TEXT


def test_of_a_short_secret_not_even_the_ending_is_kept() -> None:
    secret = Secret(name="short")
    secret.set_text("fifteen letters")
    assert secret.last_four == ""
    secret.set_text("sixteen letters!")
    assert secret.last_four == "ers!"
