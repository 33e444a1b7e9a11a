"""One attempt: one request, at one provider, with one credential. Nothing is retried here.

Whatever a host does is an outcome or `StreamBroken`; nothing else is raised for it. No failure that
leaves here repeats the credential.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from providers import chunks
from providers.adapters import (
    Adapter,
    StreamDecoder,
    StreamFailed,
    Untranslatable,
    anthropic,
    deterministic,
    openai_compatible,
)
from providers.failures import Failure, FailureClass
from providers.models import ProviderKind
from providers.redaction import presentable
from providers.registry import CredentialEntry
from providers.requests import Answer, ChatRequest, Chunk, ModelRequest, Outcome
from providers.sse import ServerSentEvent
from providers.transport import InboundStream, Limits, OutboundRequest, Transport, TransportFailed
from providers.usage import Usage
from providers.vault import SecretText

HTTP_OK = 200
# After a host has said that its answer is at its end, so long for it to close the stream, so that
# the connection can be used again.
DRAIN_SECONDS = 0.5
ADAPTERS: Mapping[str, Adapter] = {
    ProviderKind.OPENAI_COMPATIBLE: openai_compatible,
    ProviderKind.ANTHROPIC: anthropic,
}


class ChunkStream(Protocol):
    """A streamed answer under way.

    Iterate it once. It ends by itself when the answer is complete; an answer that breaks off raises
    `StreamBroken`. `usage` is what the provider has reported so far. Close it in any case.
    """

    @property
    def usage(self) -> Usage | None: ...

    def __aiter__(self) -> ChunkStream: ...

    async def __anext__(self) -> Chunk: ...

    async def aclose(self) -> None: ...


class StreamBroken(Exception):
    """A streamed answer broke off; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def send(
    request: ModelRequest, credential: CredentialEntry | None, transport: Transport
) -> Outcome:
    """Make the attempt and wait for the whole answer. Nothing is raised for what a host does."""
    outcome = await _send(request, credential, transport)
    return outcome if isinstance(outcome, Answer) else presentable(outcome, credential)


async def open_stream(
    request: ChatRequest, credential: CredentialEntry | None, transport: Transport
) -> ChunkStream | Failure:
    """Make the attempt; the stream once the host has answered with one."""
    stream = await _open(request, credential, transport)
    return presentable(stream, credential) if isinstance(stream, Failure) else stream


async def _send(
    request: ModelRequest, credential: CredentialEntry | None, transport: Transport
) -> Outcome:
    provider = request.model.provider
    if provider.kind == ProviderKind.DETERMINISTIC:
        return _fault(credential) or await deterministic.send(request)
    adapter = ADAPTERS[provider.kind]
    outbound = _outbound(adapter, request, credential)
    if isinstance(outbound, Failure):
        return outbound
    try:
        inbound = await transport.send(outbound, Limits.of(provider))
    except TransportFailed as error:
        return error.failure
    return adapter.decode(inbound, request, now=_now())


async def _open(
    request: ChatRequest, credential: CredentialEntry | None, transport: Transport
) -> ChunkStream | Failure:
    provider = request.model.provider
    if provider.kind == ProviderKind.DETERMINISTIC:
        outcome = _fault(credential) or await deterministic.send(request)
        if isinstance(outcome, Failure):
            return outcome
        return _WholeStream(deterministic.pieces(outcome), outcome.usage)
    adapter = ADAPTERS[provider.kind]
    outbound = _outbound(adapter, request, credential)
    if isinstance(outbound, Failure):
        return outbound
    try:
        inbound = await transport.open(outbound, Limits.of(provider, stream=True))
    except TransportFailed as error:
        return error.failure
    if _is_stream(inbound):
        return _HostStream(inbound, adapter.stream_decoder(request, now=_now()), credential)
    return await _whole(inbound, adapter, request)


async def _whole(
    inbound: InboundStream, adapter: Adapter, request: ChatRequest
) -> ChunkStream | Failure:
    """An error, or an answer of a host that does not stream."""
    try:
        outcome = adapter.decode(await inbound.read(), request, now=_now())
    except TransportFailed as error:
        return error.failure
    finally:
        await inbound.aclose()
    if isinstance(outcome, Failure):
        return outcome
    return _WholeStream(chunks.from_completion(outcome.body), outcome.usage)


def _outbound(
    adapter: Adapter, request: ModelRequest, credential: CredentialEntry | None
) -> OutboundRequest | Failure:
    """What to send, or why nothing is."""
    fault = _fault(credential)
    if fault is not None:
        return fault
    try:
        return adapter.encode(request, _secret(credential))
    except Untranslatable as error:
        return error.failure()


def _fault(credential: CredentialEntry | None) -> Failure | None:
    if credential is None or not credential.fault:
        return None
    return Failure(failure_class=FailureClass.AUTH_INVALID, message=credential.fault)


def _secret(credential: CredentialEntry | None) -> SecretText | None:
    return credential.secret if credential is not None else None


def _is_stream(inbound: InboundStream) -> bool:
    """Whether the answer comes as events. Some hosts do not label them, or as plain text."""
    media_type = inbound.headers.get("content-type", "").partition(";")[0].strip().lower()
    unlabelled = media_type in ("", "text/plain", "application/octet-stream")
    return inbound.status == HTTP_OK and (unlabelled or media_type == "text/event-stream")


def _now() -> datetime:
    return datetime.now(UTC)


class _WholeStream:
    """An answer that is there already, in pieces: its usage is known from the first."""

    def __init__(self, pieces: Iterable[Chunk], usage: Usage | None) -> None:
        self._chunks = deque(pieces)
        self._usage = usage

    @property
    def usage(self) -> Usage | None:
        return self._usage

    def __aiter__(self) -> _WholeStream:
        return self

    async def __anext__(self) -> Chunk:
        await asyncio.sleep(0)
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.popleft()

    async def aclose(self) -> None:
        self._chunks.clear()


class _HostStream:
    """The events of a host, as chunks."""

    def __init__(
        self, inbound: InboundStream, decoder: StreamDecoder, credential: CredentialEntry | None
    ) -> None:
        self._inbound = inbound
        self._decoder = decoder
        self._credential = credential
        self._events: AsyncIterator[ServerSentEvent] = inbound.events()
        self._chunks: deque[Chunk] = deque()
        self._over = False

    @property
    def usage(self) -> Usage | None:
        return self._decoder.usage

    def __aiter__(self) -> _HostStream:
        return self

    async def __anext__(self) -> Chunk:
        while not self._chunks:
            if self._over:
                raise StopAsyncIteration
            if self._decoder.ended:
                await self._drain()
            else:
                await self._read()
        return self._chunks.popleft()

    async def aclose(self) -> None:
        self._over = True
        self._chunks.clear()
        await self._inbound.aclose()

    async def _read(self) -> None:
        """Take in one event, or the end of them."""
        failure = None
        try:
            self._chunks.extend(self._decoder.feed(await anext(self._events)))
        except StopAsyncIteration:
            self._over, failure = True, self._decoder.close()
        except TransportFailed as error:
            # What breaks after the answer is complete takes nothing away from it.
            self._over, failure = True, self._decoder.close() and error.failure
        except StreamFailed as error:
            self._over, failure = True, error.failure
        if failure is not None:
            raise StreamBroken(presentable(failure, self._credential))

    async def _drain(self) -> None:
        """The host has said that this is all: what else it sends is of no matter."""
        self._over = True
        failure = self._decoder.close()
        if failure is not None:
            raise StreamBroken(presentable(failure, self._credential))
        with suppress(TransportFailed, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self._events:
                    pass
