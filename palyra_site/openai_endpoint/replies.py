"""Answering one request: whole, or event by event as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from palyra_site.openai_endpoint.answers import Answer
from palyra_site.openai_endpoint.requests import ClientDisconnected, Message, Send

KEEP_ALIVE_SECONDS = 15.0
# A client that takes nothing for so long has gone away; its call must not hold its places for ever.
LONGEST_STALL = 60.0
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # A proxy that gathers the events before it passes them on would make them pointless.
    (b"x-accel-buffering", b"no"),
)


class Reply:
    """What goes back to the client. `send` is awaited, so a slow client slows its provider down."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = (b"x-request-id", request_id.encode())
        self._begun = False
        self._ended = False
        # A comment to a client that waits must not come between the two halves of an event.
        self._lock = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time
        self._sent_at = 0.0

    async def whole(self, answer: Answer) -> None:
        """Send an answer that is complete."""
        length = (b"content-length", str(len(answer.body)).encode())
        headers = [*answer.headers, length, self._request_id]
        async with self._lock:
            self._begun = True
            await self._start(answer.status, headers)
            await self._write(answer.body, more=False)

    async def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of a stream of events: from now on its status is 200 for good."""
        async with self._lock:
            self._begun = True
            await self._start(200, [*EVENT_STREAM, *headers, self._request_id])

    async def event(self, data: bytes) -> None:
        """Send an event. `data` is one line."""
        async with self._lock:
            await self._write(b"data: %b\n\n" % data)

    async def done(self, *comments: str) -> None:
        """End a stream that is complete, with comments for whoever reads them before the end."""
        said = b"".join(b": %b\n\n" % comment.encode() for comment in comments)
        async with self._lock:
            await self._write(said + DONE, more=False)

    async def fail(self, answer: Answer) -> None:
        """Say what went wrong, the way that is left.

        A stream that has begun ends with the error as an event and without `[DONE]`, so that no
        client takes half an answer for a whole one. What was answered in full is left alone.
        """
        if self._ended:
            return
        if not self._begun:
            await self.whole(answer)
            return
        async with self._lock:
            await self._write(b"data: %b\n\n" % answer.body, more=False)

    async def keep_alive(self) -> float:
        """Send a comment if the client of a stream has long heard nothing; the seconds until then.

        Proxies and clients take a connection on which nothing moves for dead.
        """
        quiet = self._clock() - self._sent_at
        if not self._begun or self._lock.locked():
            return KEEP_ALIVE_SECONDS
        if quiet < KEEP_ALIVE_SECONDS:
            return KEEP_ALIVE_SECONDS - quiet
        async with self._lock:
            await self._write(KEEP_ALIVE)
        return KEEP_ALIVE_SECONDS

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._pass({"type": "http.response.start", "status": status, "headers": headers})

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        self._ended = not more
        await self._pass({"type": "http.response.body", "body": body, "more_body": more})

    async def _pass(self, message: Message) -> None:
        try:
            async with asyncio.timeout(LONGEST_STALL):
                await self._send(message)
        except OSError:  # which a `TimeoutError` is one of
            raise ClientDisconnected from None
        self._sent_at = self._clock()
