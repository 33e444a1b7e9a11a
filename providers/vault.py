"""The vault: every secret passes through here, encrypted at rest and masked everywhere else.

Fernet (AES-128-CBC with HMAC-SHA256, from `cryptography`) under `PALYRA_VAULT_KEY`, or under the
key that Palyra made for itself in the data directory. The key is never in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

MASK = "••••••••"


class VaultError(Exception):
    """A secret cannot be read: it was encrypted with another vault key."""


@dataclass(frozen=True, slots=True, repr=False)
class SecretText:
    """A decrypted secret that does not print itself."""

    text: str

    def __repr__(self) -> str:
        return f"SecretText({MASK})"

    __str__ = __repr__


@lru_cache(maxsize=4)
def _cipher(key: str) -> Fernet:
    return Fernet(key)


def encrypt(text: str) -> str:
    """`text` under the vault's key, as ASCII."""
    return _cipher(settings.PALYRA_VAULT_KEY).encrypt(text.encode()).decode()


def decrypt(ciphertext: str) -> SecretText:
    """The secret behind `ciphertext`. Raises `VaultError` if the vault's key is another."""
    try:
        return SecretText(_cipher(settings.PALYRA_VAULT_KEY).decrypt(ciphertext.encode()).decode())
    except InvalidToken:
        raise VaultError(
            "A stored secret was encrypted with another vault key. Set PALYRA_VAULT_KEY to the key "
            "it was stored under, or enter the secret again."
        ) from None
