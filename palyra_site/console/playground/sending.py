"""A call made from the playground: server-sent events as its answer comes.

`accepted` names the call, `begun` says what answers, `text` and `thinking` are pieces of the
answer, and either `ended` or `refused` comes last. Whoever closes the connection breaks the call
off: it is closed at the provider, and what was generated is settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.db import close_old_connections

from governance.acting import Acting, acting
from governance.calls import CallRequest, CallStream, open_stream
from governance.errors import CallError
from palyra_site.console.playground.refusals import Refusal, refusal_of
from palyra_site.serving import Serving

logger = logging.getLogger(__name__)
KEEP_ALIVE_SECONDS = 15.0
# A browser that takes nothing for so long has gone away; its call must not hold its places.
LONGEST_STALL = 60.0
# Events that wait for a slow browser; then its provider is read no further.
MOST_WAITING = 64
KEEP_ALIVE = b": keep-alive\n\n"
# Deltas that are words of the answer, and of what comes before it.
TEXTS = ("content", "refusal")
THOUGHTS = ("reasoning_content", "reasoning")
ENDINGS = {
    "length": "The answer was cut at the most output tokens that this call could have.",
    "content_filter": "The provider cut the answer, because of its rules about content.",
    "tool_calls": "The model asked for a tool instead of answering; the playground offers none.",
}
NOTHING_SAID = "The model answered without a word."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends: for the audit trail, and which kinds of object they may be led to."""

    acting: Acting
    viewable: frozenset[str]


class _Gone(Exception):
    """The browser takes nothing any more."""


def event(name: str, **data: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def refused(refusal: Refusal) -> bytes:
    """The event that comes in place of an answer, or of the rest of one."""
    return event("refused", **refusal.as_json())


class Answer:
    """The events of one call, to be iterated once on the loop of its runtime.

    The call is made in a task of its own, which is ended by `close`, by a browser that takes
    nothing any more, or with the server.
    """

    def __init__(self, call: CallRequest, serving: Serving, sender: Sender) -> None:
        self._call = call
        self._serving = serving
        self._sender = sender
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
        self._making: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        if self._making is None:
            await self._begin()
        if self._making is not None and self._making.done() and self._events.empty():
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                found = await self._events.get()
        except TimeoutError:
            return KEEP_ALIVE
        if found is None:
            raise StopAsyncIteration
        return found

    def close(self) -> None:
        """Break the call off if it is under way; from any thread."""
        if self._loop is not None and self._making is not None and not self._making.done():
            self._loop.call_soon_threadsafe(self._making.cancel)

    async def _begin(self) -> None:
        # The request's thread has said all it will to the database, and answers may take minutes:
        # its connection goes back to the pool.
        await sync_to_async(close_old_connections)()
        self._loop = asyncio.get_running_loop()
        self._making = self._serving.under_way.begin(self._make())

    async def _make(self) -> None:
        try:
            with acting(lambda: self._sender.acting):
                await self._pass_on()
        except _Gone:
            logger.info("A browser stopped taking its answer; call %s ended.", self._call.call_id)
        except CallError as error:
            with suppress(_Gone):
                await self._say(refused(refusal_of(error, viewable=self._sender.viewable)))
        except Exception:
            logger.exception("Call %s from the playground failed.", self._call.call_id)
            with suppress(_Gone):
                await self._say(refused(_our_fault(self._call)))
        finally:
            if not self._events.full():
                self._events.put_nowait(None)

    async def _pass_on(self) -> None:
        await self._say(event("accepted", call=str(self._call.call_id)))
        stream = await open_stream(self._call, runtime=self._serving.runtime)
        ending, is_empty = "", True
        try:
            await self._say(begun(stream))
            async for chunk in stream:
                for piece in pieces(chunk):
                    is_empty = False
                    await self._say(piece)
                ending = finish_reason(chunk) or ending
        finally:
            await stream.aclose()
        note = ENDINGS.get(ending, NOTHING_SAID if is_empty else "")
        await self._say(event("ended", note=note))

    async def _say(self, said: bytes) -> None:
        try:
            async with asyncio.timeout(LONGEST_STALL):
                await self._events.put(said)
        except TimeoutError:
            raise _Gone from None


def begun(stream: CallStream) -> bytes:
    """What is known of a call as soon as its answer begins."""
    return event(
        "begun",
        model=f"{stream.provider}/{stream.model}",
        cached=stream.cached,
        because=list(stream.decision.explanation),
    )


def pieces(chunk: dict[str, Any]) -> Iterator[bytes]:
    """What a chunk of the answer says."""
    for delta in _deltas(chunk):
        for name, fields in (("thinking", THOUGHTS), ("text", TEXTS)):
            said = next((delta[one] for one in fields if isinstance(delta.get(one), str)), "")
            if said:
                yield event(name, text=said)


def finish_reason(chunk: dict[str, Any]) -> str:
    """Why the answer ended, if this chunk says so."""
    choices = chunk.get("choices") or ()
    found = (one.get("finish_reason") for one in choices if isinstance(one, dict))
    return next((one for one in found if isinstance(one, str)), "")


def _deltas(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            yield delta


def _our_fault(call: CallRequest) -> Refusal:
    return Refusal(
        title="Palyra failed",
        message=f"The log of this server says why, under call {call.call_id}.",
        # Nobody knows how far it came: the ledger is asked.
        entered=True,
    )
