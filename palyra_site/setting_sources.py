"""Where each setting comes from, for people who look after an installation; never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from palyra_site.configuration import (
    ENV_FILE,
    ConfigurationError,
    Layers,
    defaults,
    layers,
    read,
)

# A value whose name has any of these may hold a credential.
SECRET_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN", "URL", "CREDENTIAL")
PLAIN = ("PALYRA_PUBLIC_URL",)
HIDDEN = "set; not shown"
# Where nothing is given, Palyra makes these for itself.
MADE = {
    "PALYRA_SECRET_KEY": "made by Palyra, in secret.key",
    "PALYRA_VAULT_KEY": "made by Palyra, in vault.key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSource:
    """A setting, what it is unless it may be a secret, and where that comes from."""

    name: str
    value: str
    source: str
    is_default: bool


def setting_sources(start: Layers | None = None) -> list[SettingSource]:
    """Every setting there is, those that were given first: as they were at the `start` of this very
    process, whatever became of the settings file since."""
    start = settings.CONFIGURATION.layers if start is None else start
    given = start.given
    all_of_them = {ENV_FILE: str(start.file.path), **defaults()}
    found = [
        _source(name, default, start.environment, given) for name, default in all_of_them.items()
    ]
    return sorted(found, key=lambda one: (one.is_default, one.name))


def news_of_file(start: Layers | None = None) -> str:
    """That the settings file is another one than at the `start` of this process, and what is wrong
    with it if it could not be used now; empty if it is the same."""
    start = settings.CONFIGURATION.layers if start is None else start
    now = layers(start.environment).file
    if now.digest == start.file.digest:
        return ""
    path = start.file.path
    if now.digest is None:
        return f"{path} has been taken away since this process started. It goes on as it was."
    try:
        read(start.environment)
    except ConfigurationError as error:
        faults = " ".join(error.faults)
        return f"{path} has changed since this process started, and could not be used now: {faults}"
    return f"{path} has changed since this process started, which takes it up once started anew."


def _source(
    name: str, default: str, own: Mapping[str, str], given: Mapping[str, str]
) -> SettingSource:
    variable = next((one for one in (name, f"{name}_FILE") if given.get(one, "").strip()), "")
    if not variable:
        value = HIDDEN if _is_secret(name) and default else default or MADE.get(name, "empty")
        return SettingSource(name=name, value=value, source="default", is_default=True)
    place = "environment" if own.get(variable, "").strip() else "the .env file"
    if variable != name:
        # What is in the file may be anything, so only its path is shown.
        source = f"a file that {place} names"
        return SettingSource(name=name, value=given[variable], source=source, is_default=False)
    value = HIDDEN if _is_secret(name) else given[name]
    return SettingSource(name=name, value=value, source=place, is_default=False)


def _is_secret(name: str) -> bool:
    if name in PLAIN or name == ENV_FILE:
        return False
    return any(word in name for word in SECRET_WORDS)
