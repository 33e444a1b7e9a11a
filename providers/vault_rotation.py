"""Puts every stored secret under a new vault key, and says which is under which.

A rotation may be cut off anywhere: whatever the key file says at that moment, it has the key of
every stored secret. Running it again finishes it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from providers import keyfile, vault
from providers.models import Credential, Provider, Secret
from providers.operated import operated
from providers.versioned import bump

LOCK_NAME = "vault.lock"


class NothingToRotate(Exception):
    """There is no second key to go over to; the message says how to give one."""


class RotationUnderWay(Exception):
    """Another process is rotating the keys of this data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """A key by its fingerprint, and how many stored secrets are under it."""

    fingerprint: str
    secrets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultStatus:
    """What is under which key. `keys` are in the vault's order: the first encrypts.

    `referred` secrets are kept elsewhere; `unreadable` are the names of those no key reads.
    """

    place: str
    keys: tuple[KeyUse, ...]
    referred: int
    unreadable: tuple[str, ...]

    @property
    def stored(self) -> int:
        """How many secrets are in the vault, readable or not."""
        return sum(key.secrets for key in self.keys) + len(self.unreadable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did. `own_file` says whether the key is Palyra's own."""

    fingerprint: str
    rotated: int
    unreadable: tuple[str, ...]
    own_file: bool


def status() -> VaultStatus:
    """How many stored secrets are under which key. Raises `VaultKeyError` if there is no key."""
    known = _keys_now() if vault.has_key() or _stored().exists() else ()
    counts = dict.fromkeys(known, 0)
    unreadable = []
    for name, ciphertext in _stored().values_list("name", "ciphertext"):
        key = vault.key_of(ciphertext, known)
        if key is None:
            unreadable.append(name)
        else:
            counts[key] += 1
    return VaultStatus(
        place=str(vault.own_file() or "PALYRA_VAULT_KEY"),
        keys=tuple(
            KeyUse(fingerprint=vault.fingerprint(key), secrets=count)
            for key, count in counts.items()
        ),
        referred=Secret.objects.exclude(reference="").count(),
        unreadable=tuple(unreadable),
    )


def rotate() -> Rotation:
    """Encrypt every stored secret anew: under a fresh key where the key is in Palyra's own file,
    else under the first of those given.

    Raises `NothingToRotate`, `RotationUnderWay`, `VaultKeyError`, and `OSError` if the key file
    cannot be written.
    """
    path = vault.own_file()
    if path is None:
        return _under_the_first_given()
    with _alone(path):
        before = vault.keys_in(path)
        fresh = vault.new_key()
        # From here on every process that encrypts uses the fresh key, and reads with all of them.
        keyfile.replace(path, ",".join((fresh, *before)))
        rotation = _encrypt_anew(fresh, own_file=True)
        if not may_be_shared():
            keyfile.replace(path, fresh)
    return rotation


def may_be_shared() -> bool:
    """Whether other machines may use this database, with copies of the key file as it was. What
    they store until they are given the new one is under an old key, which is kept for that."""
    return connection.vendor != "sqlite"


def _under_the_first_given() -> Rotation:
    given = vault.keys()
    if len(given) == 1:
        raise NothingToRotate(
            "PALYRA_VAULT_KEY has one key only. Put a new one in front of it, with a comma "
            "between, start Palyra anew everywhere, and run this again."
        )
    return _encrypt_anew(given[0], own_file=False)


def _encrypt_anew(first: str, *, own_file: bool) -> Rotation:
    unreadable = []
    rotated = 0
    with transaction.atomic():
        # Taken first, as whoever saves a secret does: none is saved meanwhile.
        bump()
        for secret in _stored():
            ciphertext = vault.under_first_key(secret.ciphertext)
            if vault.key_of(ciphertext, (first,)) is None:
                unreadable.append(secret.name)
            elif ciphertext != secret.ciphertext:
                # Not the time of its last change: to people it is the secret it was.
                Secret.objects.filter(pk=secret.pk).update(ciphertext=ciphertext)
                rotated += 1
        done = Rotation(
            fingerprint=vault.fingerprint(first),
            rotated=rotated,
            unreadable=tuple(unreadable),
            own_file=own_file,
        )
        operated.send(
            Secret,
            row=Secret(name="vault"),
            action="vault rotated",
            changes={"key": [None, done.fingerprint], "secrets encrypted anew": [None, rotated]},
        )
    return done


@transaction.atomic
def forget_unreadable() -> tuple[str, ...]:
    """Delete the secrets that no key reads, with the credentials that use them; their names.

    A provider that has no other credential is disabled, so that it is not called without one.
    """
    bump()
    known = _keys_now() if vault.has_key() else ()
    lost = [one for one in _stored() if vault.key_of(one.ciphertext, known) is None]
    uses = Credential.objects.filter(secret__in=lost)
    providers = list(uses.values_list("provider", flat=True))
    uses.delete()
    bare = Provider.objects.filter(pk__in=providers).exclude(credentials__enabled=True)
    Provider.objects.filter(pk__in=list(bare.values_list("pk", flat=True))).update(enabled=False)
    Secret.objects.filter(pk__in=[one.pk for one in lost]).delete()
    return tuple(one.name for one in lost)


def _keys_now() -> tuple[str, ...]:
    """The keys that a process started now would know."""
    path = vault.own_file()
    return vault.keys() if path is None else vault.keys_in(path)


def _stored() -> Any:
    return Secret.objects.exclude(ciphertext="").order_by("name")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RotationUnderWay("The keys are being rotated already, by another process.") from None
    finally:
        os.close(descriptor)
