"""Where all processes together count failed sign-ins and remember used one-time codes."""

from __future__ import annotations

from typing import Any

TABLE = "palyra_access_cache"


def make_table(using: str = "default", **_: Any) -> None:
    """Make the table. Idempotent; after migrations."""
    from django.core.management.commands.createcachetable import Command  # noqa: PLC0415

    command = Command()
    command.verbosity = 0
    command.create_table(using, TABLE, False)
