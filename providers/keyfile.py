"""Files that hold keys: they appear whole or not at all, and only their owner may read them."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet


def create(path: Path, text: str) -> None:
    """Write `text` to a new file of mode 0600; where another process was first, its text stays.

    Raises `OSError` if it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where another process was first, its key is the one.
    with _draft(path, text) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)


def replace(path: Path, text: str) -> None:
    """Put `text` in the file's place: whoever reads it finds the old text or the new one, whole,
    whatever happens meanwhile. Raises `OSError` if it cannot be written.
    """
    with _draft(path, text) as draft:
        draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def split_keys(text: str) -> tuple[str, ...]:
    """The vault keys of a text with commas between. Raises `ValueError`, whose message does not
    repeat them, if one is none or none is there.
    """
    found = tuple(key.strip() for key in text.split(",") if key.strip())
    if not found:
        raise ValueError("no key")
    for key in found:
        Fernet(key)
    return found
