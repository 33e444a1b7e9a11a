"""How the upstream's process writes an answer: well, or with the fault it was told to have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from aiohttp import web

from tests.support.faults import HUGE_BYTES, Behaviour, Fault
from tests.support.frames import Frame
from tests.support.upstream_state import Exchange, State

JSON, EVENT_STREAM = "application/json", "text/event-stream"
END_OF_EVENT = b"\n\n"
PARTS_OF_A_WHOLE = 4
# Blanks at the end of JSON mean nothing: what is huge is sound in all but its size.
MEGABYTE = b" " * 1000**2


class Wire(Protocol):
    """A protocol's own way of failing; the modules of the protocols are such."""

    def error(self, behaviour: Behaviour) -> dict[str, Any]: ...

    def error_event(self, behaviour: Behaviour) -> Frame: ...

    def malformed_event(self) -> Frame: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece."""

    content: bytes
    content_type: str = JSON

    @classmethod
    def of(cls, body: Any) -> Whole:
        """Text as it is, anything else as JSON."""
        if isinstance(body, str):
            return cls(body.encode(), "text/plain")
        return cls(json.dumps(body).encode())


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer in pieces."""

    frames: Iterable[Frame]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request that is being answered, and how."""

    request: web.Request
    exchange: Exchange
    behaviour: Behaviour
    wire: Wire
    state: State

    async def answer(self, answer: Whole | Streamed) -> web.StreamResponse:
        """Write the answer as the behaviour says, and note how that ended."""
        try:
            return await self._answer(answer)
        except (asyncio.CancelledError, ConnectionError):
            self.state.disconnected(self.exchange)
            raise

    async def _answer(self, answer: Whole | Streamed) -> web.StreamResponse:
        behaviour = self.behaviour
        if behaviour.hold:
            await self.state.released(self.exchange.model)
        if behaviour.latency:
            await asyncio.sleep(behaviour.latency)
        if behaviour.status >= 400 or behaviour.fault is Fault.ERROR_IN_SUCCESS:
            return await self.refuse(behaviour)
        if behaviour.fault is Fault.HANGS_BEFORE_HEADERS:
            await self._hang()
        if behaviour.fault is Fault.DROPPED:
            return self._drop(web.Response())
        if isinstance(answer, Whole):
            return await self._write_whole(answer)
        return await self._write_stream(answer.frames)

    async def refuse(self, behaviour: Behaviour) -> web.StreamResponse:
        """Write an error, whatever was asked."""
        content = json.dumps(self.wire.error(behaviour)).encode()
        response = web.Response(
            status=behaviour.status, body=content, content_type=JSON, headers=behaviour.headers
        )
        await response.prepare(self.request)
        await response.write_eof()
        return response

    async def _write_whole(self, answer: Whole) -> web.StreamResponse:
        fault, content = self.behaviour.fault, answer.content
        response = web.StreamResponse(headers={"Content-Type": answer.content_type})
        if fault is Fault.HUGE:
            await response.prepare(self.request)
            await self._write_huge(response, content)
            await response.write_eof()
            return response
        if fault is Fault.MALFORMED_JSON:
            content = content[: len(content) // 2]
        response.content_length = len(content)
        await response.prepare(self.request)
        if fault in {Fault.HANGS_IN_BODY, Fault.TRUNCATED, Fault.DROPPED_IN_BODY}:
            await response.write(content[: len(content) // 2])
            return await self._break_off(response)
        for part in _parts(content) if self.behaviour.pause else [content]:
            await self._pause()
            await response.write(part)
        return await self._end(response)

    async def _write_stream(self, frames: Iterable[Frame]) -> web.StreamResponse:
        fault, after = self.behaviour.fault, self.behaviour.after
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})
        await response.prepare(self.request)
        generated = 0
        for frame in frames:
            content = frame.content
            if frame.generated:
                if fault is Fault.HUGE and generated == after:
                    await self._write_huge(response, content.rstrip())
                    content = END_OF_EVENT
                elif not self.behaviour.sound and generated == after:
                    break
                generated += 1
                await self._pause()
            await response.write(content)
        if self.behaviour.sound:
            return await self._end(response)
        if fault is Fault.ERROR_EVENT:
            await response.write(self.wire.error_event(self.behaviour).content)
        elif fault is Fault.MALFORMED_JSON:
            await response.write(self.wire.malformed_event().content)
        elif fault is not Fault.HUGE:
            return await self._break_off(response)
        await response.write_eof()
        return response

    async def _break_off(self, response: web.StreamResponse) -> web.StreamResponse:
        """End, or do not end, what is not complete."""
        if self.behaviour.fault is Fault.HANGS_IN_BODY:
            await self._hang()
        if self.behaviour.fault is Fault.DROPPED_IN_BODY:
            return self._drop(response)
        # To HTTP a truncated stream is whole; a truncated body is shorter than was promised.
        response.force_close()
        await response.write_eof()
        return response

    async def _write_huge(self, response: web.StreamResponse, content: bytes) -> None:
        """A hundred megabytes that nobody announced."""
        await response.write(content)
        for _ in range(HUGE_BYTES // len(MEGABYTE)):
            await response.write(MEGABYTE)

    async def _end(self, response: web.StreamResponse) -> web.StreamResponse:
        await response.write_eof()
        self.state.answered(self.exchange)
        return response

    async def _pause(self) -> None:
        if self.behaviour.pause:
            await asyncio.sleep(self.behaviour.pause)

    async def _hang(self) -> NoReturn:
        """Wait until the client goes away, which cancels this."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody ends this")

    def _drop(self, response: web.StreamResponse) -> web.StreamResponse:
        assert self.request.transport is not None
        self.request.transport.abort()
        return response


def _parts(content: bytes) -> Iterator[bytes]:
    size = max(1, -(-len(content) // PARTS_OF_A_WHOLE))
    for start in range(0, len(content), size):
        yield content[start : start + size]
