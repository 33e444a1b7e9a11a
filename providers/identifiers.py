"""Identifiers that leave the process."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): unique everywhere and ordered by the time it was made."""
    return uuid7()


def first_id(moment: datetime) -> UUID:
    """The lowest identifier that could be made at `moment`: every one made before is lower."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)
