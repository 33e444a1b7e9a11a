"""Where all processes together count failed sign-ins and remember used one-time codes."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.commands.createcachetable import Command

TABLE = "palyra_access_cache"


class JsonSerializer:
    """What is kept in Redis is read as plain data: whoever writes there cannot have code run."""

    def dumps(self, value: Any) -> Any:
        # Whole numbers stay such, so that Redis can count with them.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: Any) -> Any:
        return json.loads(data)


def make_table(using: str = "default", **_: Any) -> None:
    """Make the table, whichever place is configured now. Idempotent; after migrations."""
    command = Command()
    command.verbosity = 0
    command.create_table(using, TABLE, False)
