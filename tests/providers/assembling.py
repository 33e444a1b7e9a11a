"""Streamed answers put together, as a client does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from providers.chunks import Assembler
from providers.requests import Chunk


def assembled(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """The `chat.completion` that `chunks` are."""
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion()
