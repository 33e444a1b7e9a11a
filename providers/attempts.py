"""One attempt: one request, at one provider, with one credential. Nothing is retried here."""

from __future__ import annotations

from typing import Protocol

from providers.failures import Failure
from providers.registry import CredentialEntry
from providers.requests import ChatRequest, Chunk, ModelRequest, Outcome
from providers.transport import Transport
from providers.usage import Usage


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
    raise NotImplementedError


async def open_stream(
    request: ChatRequest, credential: CredentialEntry | None, transport: Transport
) -> ChunkStream | Failure:
    """Make the attempt; the stream once the host has answered with one."""
    raise NotImplementedError
