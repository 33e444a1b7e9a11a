"""One module a provider kind: how a request is put on its wire, and what its answers mean.

Each has the same functions, pure but for the deterministic kind, which has no wire:

- `encode(request, secret) -> OutboundRequest`, raising `Untranslatable` for what that protocol
  cannot say;
- `decode(inbound, request) -> Outcome`;
- `stream_decoder(request) -> StreamDecoder`, for the events of a streamed answer;
- `list_request(provider, secret, after) -> OutboundRequest` and `listed(inbound) -> Listing | Failure`,
  for the models a host has.
"""

from __future__ import annotations

from typing import Protocol

from providers.failures import Failure, FailureClass
from providers.requests import Chunk
from providers.sse import ServerSentEvent
from providers.usage import Usage


class Untranslatable(Exception):
    """The request says something that the provider's protocol cannot; the caller's to change."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def failure(self) -> Failure:
        """As the outcome of an attempt of which nothing was sent."""
        return Failure(
            failure_class=FailureClass.PERMANENT_UPSTREAM, message=self.message, callers_fault=True
        )


class StreamFailed(Exception):
    """An event that says the answer failed, or cannot be understood."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StreamDecoder(Protocol):
    """Turns a host's events into chunks in OpenAI's format. Pure: it only keeps what it has read."""

    @property
    def usage(self) -> Usage | None:
        """What the host has reported so far."""

    def feed(self, event: ServerSentEvent) -> list[Chunk]:
        """The chunks that `event` stands for. Raises `StreamFailed`."""

    def close(self) -> Failure | None:
        """Why the answer is not complete although the events have ended; None if it is."""
