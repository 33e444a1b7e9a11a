"""The body of an answer as its bytes arrive: unpacked, and never more than is bounded."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
GZIP = 16 + zlib.MAX_WBITS


class BodyTooLarge(Exception):
    """The body has more bytes than are kept."""


class BodyUnreadable(Exception):
    """The body is not packed as its head says, or in a way that was not asked for."""


class InboundBody:
    """Unpacks a body piece by piece.

    Both what arrives and what it unpacks to may be `MAX_RESPONSE_BYTES` long; a bomb is unpacked no
    further than that. Raises `BodyTooLarge`, also if the head says so already, and
    `BodyUnreadable`.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._arrived = 0
        self._unpacked = 0
        if _length(headers.get("content-length", "")) > MAX_RESPONSE_BYTES:
            raise BodyTooLarge
        packing = headers.get("content-encoding", "identity").strip().lower()
        if packing not in {"", "identity", "gzip", "x-gzip"}:
            raise BodyUnreadable
        self._gzip = zlib.decompressobj(GZIP) if "gzip" in packing else None

    def feed(self, piece: bytes) -> bytes:
        """What `piece` unpacks to; it may be nothing yet."""
        self._arrived += len(piece)
        if self._arrived > MAX_RESPONSE_BYTES:
            raise BodyTooLarge
        if self._gzip is None:
            return piece
        try:
            unpacked = self._gzip.decompress(piece, MAX_RESPONSE_BYTES + 1 - self._unpacked)
        except zlib.error:
            raise BodyUnreadable from None
        self._unpacked += len(unpacked)
        if self._unpacked > MAX_RESPONSE_BYTES:
            raise BodyTooLarge
        if self._gzip.unused_data:
            raise BodyUnreadable
        return unpacked

    def finish(self) -> None:
        """Say that nothing more comes: what is packed must be complete."""
        if self._gzip is not None and self._arrived and not self._gzip.eof:
            raise BodyUnreadable


def _length(text: str) -> int:
    # A head that contradicts itself is not this one's to judge.
    return int(text) if text.isascii() and text.isdigit() else 0
