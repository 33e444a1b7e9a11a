"""Server-sent events (WHATWG HTML, “Server-sent events”, 9.2): bytes in, events out, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; `event` is empty where the stream named none."""

    event: str
    data: str


class EventTooLarge(Exception):
    """One event, or one line, has more bytes than are kept."""


class EventParser:
    """Makes events of a stream's bytes, however they are cut.

    No event may have more than `limit` bytes. Lines may end with CR, LF or both; comments, `id` and
    `retry` are passed over. Exhaust what `feed` gives before feeding again.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begin = b""  # of the stream, until it is seen whether that is a byte order mark
        self._begun = False
        self._after_cr = False
        self._line: list[bytes] = []  # the pieces of a line that has not ended
        self._line_size = 0
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0  # of the event's lines so far

    def feed(self, content: bytes) -> Iterator[ServerSentEvent]:
        """The events that `content` completes. Raises `EventTooLarge`."""
        if not self._begun:
            content = self._without_mark(content)
        if self._after_cr and content:
            content = content.removeprefix(b"\n")
            self._after_cr = False
        if not content:
            return
        if b"\r" in content:
            # A CR at the very end is a line's end already; an LF that follows belongs to it.
            self._after_cr = content.endswith(b"\r")
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = content.split(b"\n")
        self._grow(first)
        for begin in others:
            event = self._take(b"".join(self._line))
            self._line, self._line_size = [], 0
            if event is not None:
                yield event
            self._grow(begin)

    def finish(self) -> Iterator[ServerSentEvent]:
        """The last event, if the stream ended without the blank line after it.

        The standard drops such an event. Many hosts, though, end with `data: [DONE]` and nothing
        more; whether an answer is complete is for its decoder to say, which needs to see that.
        """
        if not self._begun and self._begin:
            self._begun = True
            yield from self.feed(self._begin)
        yield from self.feed(b"\n\n")

    def _without_mark(self, content: bytes) -> bytes:
        self._begin += content
        if len(self._begin) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(self._begin):
            return b""
        self._begun = True
        begin, self._begin = self._begin, b""
        return begin.removeprefix(BYTE_ORDER_MARK)

    def _grow(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_size += len(piece)
            if self._size + self._line_size > self._limit:
                raise EventTooLarge

    def _take(self, line: bytes) -> ServerSentEvent | None:
        """Read one whole line; the event if the line is the blank one that ends it."""
        if not line:
            return self._dispatch()
        name, _, text = line.partition(b":")
        if name == b"data":
            self._data.append(text.removeprefix(b" "))
            self._size += len(line) + 1
        elif name == b"event":
            self._name = text.removeprefix(b" ")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = b"", [], 0
        if not data:
            return None
        return ServerSentEvent(_text(name), _text(data[0] if len(data) == 1 else b"\n".join(data)))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
