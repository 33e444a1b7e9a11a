"""Keys that Palyra makes for itself, kept in the data directory, never in the database."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from palyra_site.configuration import ConfigurationError


def read_or_create(path: Path, generate: Callable[[], str]) -> str:
    """The key in `path`; one from `generate` is written there, mode 0600, if there is none yet.

    Several processes may start at once: the file appears whole or not at all, and the first wins.
    Raises `ConfigurationError` if the file cannot be read or made, or holds nothing.
    """
    try:
        if not path.exists():
            _create(path, generate)
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


def _create(path: Path, generate: Callable[[], str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(generate() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Where another process was first, its key is the one.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
