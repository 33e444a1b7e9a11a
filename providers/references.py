"""Secrets kept elsewhere: `env:NAME` is a variable of Palyra's environment, `file:/path` a file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Palyra's own, and those its database's driver reads: whoever may name a credential must not be
# able to send these to a host.
OWN_VARIABLES = ("PALYRA_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "PGPASS", "PGSERVICE")
# A process's environment is a file as well, and has what the above keep.
NOT_FILES = (Path("/proc"), Path("/sys"), Path("/dev"))
MOST_BYTES = 8192


class ReferenceUnreadable(Exception):
    """A secret kept elsewhere cannot be read there; the message names the place, not the text."""


def validate_reference(value: str) -> None:
    """Refuse what is neither `env:NAME` nor `file:/absolute/path`, or where Palyra's own are."""
    kind, _, place = value.partition(":")
    if kind == "env" and VARIABLE.fullmatch(place):
        if place.upper().startswith(OWN_VARIABLES):
            raise ValidationError(
                "This variable is Palyra's own and is not lent to providers.", code="reference_own"
            )
        return
    if kind == "file" and place.startswith("/") and _can_be_a_path(place):
        if _is_own(Path(place)):
            raise ValidationError(
                "Palyra's own files, and the system's, are not lent to providers.",
                code="reference_own",
            )
        return
    raise ValidationError(
        "Give env:NAME for a variable of Palyra's environment, or file:/path for a file.",
        code="reference",
    )


def _can_be_a_path(place: str) -> bool:
    try:
        return b"\0" not in place.encode()
    except UnicodeEncodeError:
        return False


def _is_own(path: Path) -> bool:
    """Whether Palyra's own secrets are in it, or the system tells of processes there."""
    real = _real(path)
    if any(real.is_relative_to(directory) for directory in (settings.DATA_DIR, *NOT_FILES)):
        return True
    return any(real == _real(own) for own in settings.PALYRA_OWN_FILES)


def _real(path: Path) -> Path:
    # Unlike Path.resolve, it says something of links that lead in a circle as well.
    return Path(os.path.realpath(path))


def resolve(reference: str) -> str:
    """The secret that `reference` stands for, without surrounding blanks.

    Raises `ReferenceUnreadable` if it is not there, is empty, or may not be lent.
    """
    try:
        validate_reference(reference)
    except ValidationError as error:
        raise ReferenceUnreadable(" ".join(error.messages)) from None
    kind, _, place = reference.partition(":")
    text = os.environ.get(place) if kind == "env" else _content(Path(place))
    if text is None:
        raise ReferenceUnreadable(f"The variable {place} is not set where Palyra runs.")
    if not text.strip():
        raise ReferenceUnreadable(f"{reference} is empty.")
    return text.strip()


def _content(path: Path) -> str:
    try:
        # Opening a pipe would wait for whoever writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ReferenceUnreadable(f"{path} is not a file.")
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ReferenceUnreadable(f"{path} is larger than any credential.")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ReferenceUnreadable(f"{path} cannot be read where Palyra runs ({reason}).") from None
