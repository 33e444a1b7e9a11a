"""Operators' mistakes that are no single wrong value, as Django system checks with ids and hints.

A value that cannot be used at all is refused by `configuration` before Django starts. What matters
only where strangers can reach Palyra is looked at by `palyra check --deploy`.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004

from palyra_site import configuration
from providers import vault

KEY_FILES = ("secret.key", "vault.key")
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def check_vault_key(**kwargs: Any) -> list[CheckMessage]:
    """The vault's key, which may come from a file, is one."""
    try:
        if vault.has_key():
            vault.newest_keys()
    except (ValueError, vault.VaultKeyError):
        return [
            Error(
                f"The vault key in {settings.PALYRA_VAULT_KEY_PATH} is not a key.",
                hint="Restore the file from a backup: stored secrets can be read with it only.",
                id="palyra.E001",
            )
        ]
    return []


def check_names(**kwargs: Any) -> list[CheckMessage]:
    """No PALYRA_ variable is given that nothing reads."""
    return [
        Warning(
            f"{name} is given, but Palyra has no such setting.",
            hint=_did_you_mean(name),
            id="palyra.W001",
        )
        for name in configuration.unknown_names(settings.CONFIGURATION.layers)
    ]


def check_key_files(**kwargs: Any) -> list[CheckMessage]:
    """Nobody but the owner may read the key files."""
    paths = [settings.DATA_DIR / name for name in KEY_FILES]
    return [
        Warning(
            f"The key file {path} can be read by other users of this machine.",
            hint=f"Run: chmod 600 {path}",
            id="palyra.W002",
        )
        for path in paths
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]


def check_debug(**kwargs: Any) -> list[CheckMessage]:
    """Debug pages show settings and code, so they are for this machine only."""
    if not settings.DEBUG or _only_this_machine():
        return []
    return [
        Warning(
            "PALYRA_DEBUG is on, and Palyra can be reached from other machines.",
            hint="Set PALYRA_DEBUG=no: its error pages show code and settings to anyone.",
            id="palyra.W003",
        )
    ]


def check_transport(**kwargs: Any) -> list[CheckMessage]:
    """Passwords and keys do not travel in clear."""
    if _only_this_machine() or settings.PALYRA_PUBLIC_URL.startswith("https://"):
        return []
    return [
        Warning(
            f"{settings.PALYRA_PUBLIC_URL} is not https: passwords and keys travel in clear.",
            hint="Put a proxy with a certificate in front and set PALYRA_PUBLIC_URL=https://…",
            id="palyra.W004",
        )
    ]


def check_allowed_hosts(**kwargs: Any) -> list[CheckMessage]:
    """Only Palyra's own names are answered to."""
    if _only_this_machine() or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "PALYRA_ALLOWED_HOSTS lets any name be used for this server.",
            hint=f"Set PALYRA_ALLOWED_HOSTS={urlsplit(settings.PALYRA_PUBLIC_URL).hostname}",
            id="palyra.W005",
        )
    ]


def check_shared_keys(**kwargs: Any) -> list[CheckMessage]:
    """Machines that share a database share the keys as well."""
    given = settings.CONFIGURATION
    if (given.secret_key and given.vault_key) or given.database["ENGINE"].endswith("sqlite3"):
        return []
    return [
        Warning(
            f"The keys of this installation are only in {settings.DATA_DIR}.",
            hint="Give PALYRA_SECRET_KEY and PALYRA_VAULT_KEY, the same on every machine: with "
            "others, API keys are refused and stored secrets cannot be read.",
            id="palyra.W006",
        )
    ]


def _only_this_machine() -> bool:
    named = urlsplit(settings.PALYRA_PUBLIC_URL).hostname
    return settings.CONFIGURATION.host in LOOPBACK and named in LOOPBACK


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, configuration.names(), n=1)
    return f"Did you mean {close[0]}?" if close else "Every setting is described in .env.example."


ALWAYS: tuple[Callable[..., list[CheckMessage]], ...] = (
    check_vault_key,
    check_names,
    check_key_files,
    check_debug,
)
WHERE_DEPLOYED: tuple[Callable[..., list[CheckMessage]], ...] = (
    check_transport,
    check_allowed_hosts,
    check_shared_keys,
)


def register_checks() -> None:
    """Have Django carry them out; called when the app is ready."""
    for check in ALWAYS:
        register(check)
    for check in WHERE_DEPLOYED:
        register(check, deploy=True)
