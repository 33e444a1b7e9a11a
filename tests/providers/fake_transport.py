"""A transport without a network, which answers as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from providers.attempts import ChunkStream, open_stream, send
from providers.failures import Failure, FailureClass
from providers.registry import ModelEntry
from providers.requests import ChatRequest, Chunk
from providers.sse import ServerSentEvent
from providers.transport import InboundAnswer, Limits, OutboundRequest, Transport, TransportFailed
from tests.providers.entries import chat_request, credential_entry, model_entry, remote_entry

KEY = "sk-very-secret"
CREDENTIAL = credential_entry(KEY)
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
BROKEN = Failure(failure_class=FailureClass.NETWORK_UNAVAILABLE, message="Broken.")
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass
class FakeStream:
    """An answer whose head has come. An event that is a failure is where it breaks."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(EVENTS))
    coming: Sequence[ServerSentEvent | Failure] = ()
    answer: Any = None
    lingers: bool = False
    read_fails: Failure | None = None
    closed: int = 0
    exhausted: bool = False

    async def read(self) -> InboundAnswer:
        if self.read_fails is not None:
            raise TransportFailed(self.read_fails)
        return InboundAnswer(self.status, self.answer, self.headers)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        for event in self.coming:
            if isinstance(event, Failure):
                raise TransportFailed(event)
            yield event
        if self.lingers:
            await asyncio.Event().wait()
        self.exhausted = True

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class FakeTransport:
    """Answers as it is told to, and keeps what it was sent."""

    answer: InboundAnswer | Failure = field(
        default_factory=lambda: InboundAnswer(200, orjson.loads(orjson.dumps(COMPLETION)))
    )
    stream: FakeStream | Failure = field(default_factory=FakeStream)
    sent: list[tuple[OutboundRequest, Limits]] = field(default_factory=list)

    async def send(self, request: OutboundRequest, limits: Limits) -> InboundAnswer:
        self.sent.append((request, limits))
        if isinstance(self.answer, Failure):
            raise TransportFailed(self.answer)
        return self.answer

    async def open(self, request: OutboundRequest, limits: Limits) -> FakeStream:
        self.sent.append((request, limits))
        if isinstance(self.stream, Failure):
            raise TransportFailed(self.stream)
        return self.stream


def as_transport(fake: FakeTransport) -> Transport:
    return cast(Transport, fake)


def remote_model(**fields: Any) -> ModelEntry:
    provider = remote_entry("https://models.example.com/v1", **fields)
    return model_entry(provider, name="nice", upstream_name="up")


def remote_request(**body: Any) -> ChatRequest:
    return chat_request(remote_model(), **body)


async def failed(fake: FakeTransport, request: Any = None, credential: Any = CREDENTIAL) -> Failure:
    outcome = await send(request or remote_request(), credential, as_transport(fake))
    assert isinstance(outcome, Failure)
    return outcome


def event(data: Any) -> ServerSentEvent:
    return ServerSentEvent("", data if isinstance(data, str) else orjson.dumps(data).decode())


def chunk(content: str, finish: str | None = None) -> ServerSentEvent:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


DONE = event("[DONE]")


async def opened(stream: FakeStream, request: ChatRequest | None = None) -> ChunkStream:
    fake = FakeTransport(stream=stream)
    request = request or remote_request(stream=True)
    found = await open_stream(request, CREDENTIAL, as_transport(fake))
    assert not isinstance(found, Failure)
    return found


async def not_opened(stream: FakeStream | Failure) -> Failure:
    fake = FakeTransport(stream=stream)
    found = await open_stream(remote_request(stream=True), CREDENTIAL, as_transport(fake))
    assert isinstance(found, Failure)
    return found


async def drained(stream: ChunkStream) -> list[Chunk]:
    return [one async for one in stream]


def texts(chunks: list[Chunk]) -> list[str]:
    return [
        choice["delta"]["content"]
        for one in chunks
        for choice in one.body["choices"]
        if choice["delta"].get("content")
    ]
