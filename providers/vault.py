"""The vault: every secret passes through here, encrypted at rest and masked everywhere else.

Fernet (AES-128-CBC with HMAC-SHA256, from `cryptography`) under the first of the vault's keys; all
of them decrypt. They are those of `PALYRA_VAULT_KEY`, or where none is given those in Palyra's own
file `vault.key`, which other processes may replace at any time (`palyra vault rotate`): it is read
again before anything is encrypted, and when something cannot be decrypted. No key is ever in the
database.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from providers import keyfile
from providers.keyfile import split_keys

MASK = "••••••••"
FINGERPRINT_LENGTH = 8

# The keys last found in a file, then those found there before: what was read from the database a
# moment ago may still be under one of these.
_found: dict[Path, tuple[str, ...]] = {}
_reading = threading.Lock()


class VaultError(Exception):
    """A secret cannot be read: it was encrypted with another vault key."""


class VaultKeyError(VaultError):
    """There is no key that the vault could use; the message names where it should be."""


@dataclass(frozen=True, slots=True, repr=False)
class SecretText:
    """A decrypted secret that does not print itself."""

    text: str

    def __repr__(self) -> str:
        return f"SecretText({MASK})"

    __str__ = __repr__


def encrypt(text: str) -> str:
    """`text` under the vault's first key, as ASCII. Raises `VaultKeyError` if there is none."""
    return _cipher(newest_keys()[0]).encrypt(text.encode()).decode()


def decrypt(ciphertext: str) -> SecretText:
    """The secret behind `ciphertext`. Raises `VaultError` if the vault has not its key."""
    known = keys()
    text = _decrypted(ciphertext, known)
    if text is None and own_file() is not None:
        newest = newest_keys()
        text = _decrypted(ciphertext, [key for key in newest if key not in known])
    if text is None:
        raise VaultError(
            f"A stored secret was encrypted with another vault key. Give {place()} the key it was "
            f"stored under, or enter the secret again."
        )
    return SecretText(text)


def under_first_key(ciphertext: str) -> str:
    """The same secret under the vault's first key; what cannot be read stays as it is."""
    try:
        first = newest_keys()[0]
        if _decrypted(ciphertext, [first]) is not None:
            return ciphertext
        return _cipher(first).encrypt(decrypt(ciphertext).text.encode()).decode()
    except VaultError:
        return ciphertext


def key_of(ciphertext: str, candidates: tuple[str, ...]) -> str | None:
    """Which of `candidates` reads `ciphertext`; None if none does."""
    for key in candidates:
        if _decrypted(ciphertext, [key]) is not None:
            return key
    return None


def own_file() -> Path | None:
    """Palyra's own key file; None where the key comes from the environment."""
    return None if settings.PALYRA_VAULT_KEY else Path(settings.PALYRA_VAULT_KEY_PATH)


def place() -> str:
    """Where the key comes from, in the words of a setting or a file."""
    path = own_file()
    return "PALYRA_VAULT_KEY" if path is None else f"PALYRA_VAULT_KEY or {path}"


def has_key() -> bool:
    """Whether there is a key: given, or in Palyra's own file."""
    path = own_file()
    return path is None or path.exists()


def make_key() -> None:
    """Make a key in Palyra's own file, unless there is one. Only for where nothing is encrypted."""
    path = own_file()
    if path is not None:
        try:
            keyfile.create(path, new_key())
        except OSError as error:
            raise VaultKeyError(
                f"The vault's key file {path} cannot be made ({error.strerror})."
            ) from None


def new_key() -> str:
    """A random key."""
    return Fernet.generate_key().decode()


def fingerprint(key: str) -> str:
    """A few letters to tell keys apart by, which say nothing about them."""
    return hashlib.sha256(key.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def keys() -> tuple[str, ...]:
    """The keys that this process knows, the newest first. Raises `VaultKeyError` if none."""
    path = own_file()
    if path is None:
        return split_keys(settings.PALYRA_VAULT_KEY)
    return _found.get(path) or newest_keys()


def newest_keys() -> tuple[str, ...]:
    """The same, with Palyra's own file read again."""
    path = own_file()
    if path is None:
        return split_keys(settings.PALYRA_VAULT_KEY)
    with _reading:
        fresh = keys_in(path)
        before = _found.get(path, ())
        _found[path] = (*fresh, *(key for key in before if key not in fresh))
        return _found[path]


def keys_in(path: Path) -> tuple[str, ...]:
    """The keys in a file. Raises `VaultKeyError` if it is away, unreadable or holds none."""
    try:
        return split_keys(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VaultKeyError(f"The vault's key file {path} is missing.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise VaultKeyError(f"The vault's key file {path} cannot be read ({reason}).") from None
    except ValueError:
        raise VaultKeyError(f"The vault's key file {path} does not hold a key.") from None


@lru_cache(maxsize=16)
def _cipher(key: str) -> Fernet:
    return Fernet(key)


def _decrypted(ciphertext: str, candidates: tuple[str, ...] | list[str]) -> str | None:
    for key in candidates:
        try:
            return _cipher(key).decrypt(ciphertext.encode()).decode()
        except InvalidToken:
            continue
    return None
