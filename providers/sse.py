"""Server-sent events (WHATWG HTML, “Server-sent events”, 9.2): bytes in, events out, bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; `event` is empty where the stream named none."""

    event: str
    data: str
