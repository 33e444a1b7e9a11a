"""Whether the stored secrets can be read, before a process starts that would need them."""

from __future__ import annotations

import logging

from django.db import Error as DatabaseFailure
from django.db import connections

from palyra_site.configuration import ConfigurationError
from providers import vault
from providers.models.secrets import make_vault_key
from providers.vault_rotation import VaultStatus, status

logger = logging.getLogger(__name__)
FORGET = "If it is lost for good, run `palyra vault forget` and enter the secrets again."
NO_KEY = f"Restore the file from a backup, or give the key. {FORGET}"
OTHER_KEY = (
    "Give the key they were stored under, beside others with a comma between, or restore its file. "
    f"{FORGET}"
)


def vault_in_order() -> None:
    """Make the vault's key where nothing is encrypted yet; otherwise see that it reads what is.

    Raises `ConfigurationError` naming PALYRA_VAULT_KEY if no stored secret can be read. Of single
    ones among others that can be it only warns: their providers say so as well.
    """
    try:
        make_vault_key()
        found = status()
    except vault.VaultKeyError as error:
        raise ConfigurationError(f"PALYRA_VAULT_KEY: {error} {NO_KEY}") from None
    if found.unreadable and len(found.unreadable) == found.stored:
        raise ConfigurationError(_none_readable(found))
    for name in found.unreadable:
        logger.warning(
            "The secret %s was encrypted with another vault key, so no provider can be called with "
            "it. Enter it again, or add its key to %s.",
            name,
            found.place,
        )


def before_serving() -> None:
    """The same for a process that `up` may have started, or that waits for its database to come:
    while that cannot be asked, nothing is said.
    """
    try:
        vault_in_order()
    except DatabaseFailure as error:
        logger.debug("The vault cannot be looked at: %s", type(error).__name__)
    finally:
        # Nothing is left open that a fork of this process would share.
        connections.close_all()


def _none_readable(found: VaultStatus) -> str:
    which = "the only stored secret" if found.stored == 1 else f"none of {found.stored} stored"
    ending = "cannot" if found.stored == 1 else "secrets can"
    return (
        f"PALYRA_VAULT_KEY: {which} {ending} be read with the keys from {found.place}, so no "
        f"provider could be called with one. {OTHER_KEY}"
    )
