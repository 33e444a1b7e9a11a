"""Keys that Palyra makes for itself, kept in the data directory, never in the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from palyra_site.configuration import ConfigurationError
from providers import keyfile


def read_or_create(path: Path, generate: Callable[[], str]) -> str:
    """The key in `path`; one from `generate` is written there, mode 0600, if there is none yet.

    Several processes may start at once: the file appears whole or not at all, and the first wins.
    Raises `ConfigurationError` if the file cannot be read or made, or holds nothing.
    """
    try:
        if not path.exists():
            keyfile.create(path, generate())
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"PALYRA_DATA_DIR: the key file {path} cannot be read or made ({reason})."
        ) from None
    if not key:
        raise ConfigurationError(
            f"PALYRA_DATA_DIR: the key file {path} is empty. Restore it from a backup; only if "
            f"nothing was ever encrypted or signed with it, delete it and another is made."
        )
    return key
