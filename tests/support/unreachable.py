"""Addresses at which no provider answers, each in its own way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

# RFC 6761 keeps `.invalid` for names that never resolve.
NO_SUCH_HOST = "http://upstream.invalid/v1"


@contextmanager
def refusing() -> Iterator[str]:
    """The base URL of a loopback port that refuses connections, and that nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"


def tls_to_plain(base_url: str) -> str:
    """The same address with https, where the server knows no TLS."""
    return base_url.replace("http://", "https://", 1)
