"""A streamed call that a test leads by the hand, and an ASGI conversation with a client of clay."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from governance.budgets import BudgetEvaluation
from palyra_site.openai_endpoint.replies import Reply
from palyra_site.openai_endpoint.requests import Message, Request

CALL_ID = UUID("01890000-0000-7000-8000-000000000001")
PATIENCE = 20.0


def chunk(text: str) -> dict[str, Any]:
    """A piece of an answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "nice",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }


@dataclass
class LedStream:
    """Gives what is put into it: a chunk, an error to raise, or None for its end."""

    call_id: UUID = CALL_ID
    provider: str = "here"
    model: str = "nice"
    attempts: int = 1
    cached: bool = False
    cacheable: bool = False
    cost: int | None = None
    tightest: BudgetEvaluation | None = None
    next: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *items: Any) -> None:
        for item in items:
            self.next.put_nowait(item)

    def __aiter__(self) -> LedStream:
        return self

    async def __anext__(self) -> dict[str, Any]:
        item = await self.next.get()
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        return cast("dict[str, Any]", item)

    async def aclose(self) -> None:
        self.closed.set()


class ClayClient:
    """The server's side of a connection: what was sent, and a client that leaves when told to."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self._more = asyncio.Condition()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        async with self._more:
            self.sent.append(message)
            self._more.notify_all()

    async def got(self, text: str) -> None:
        """Wait until `text` has come."""
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: text in self.body)

    @property
    def body(self) -> str:
        return b"".join(one.get("body", b"") for one in self.sent).decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def ended(self) -> bool:
        """Whether the answer is over as far as HTTP is concerned."""
        return bool(self.sent) and not self.sent[-1].get("more_body", True)

    def request(self) -> Request:
        """A request whose body was read."""
        nothing = cast(Any, None)
        return Request("/v1/chat/completions", {}, nothing, nothing, self.receive, 1000)

    def reply(self) -> Reply:
        return Reply(self.send, "the-request")


def events(body: str) -> deque[str]:
    """The data and the comments of a stream, one a line; it must consist of whole events."""
    assert body.endswith("\n\n")
    return deque(body[:-2].split("\n\n"))
