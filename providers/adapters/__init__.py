"""One module a provider kind: how a request is put on its wire, and what its answers mean.

`openai_compatible` and `anthropic` have the functions of `Adapter`, all pure. The deterministic
kind has no wire, so it answers by itself (see there).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from providers.adapters.listing import Listing
from providers.failures import Failure, FailureClass
from providers.registry import ProviderEntry
from providers.requests import ChatRequest, Chunk, ModelRequest, Outcome
from providers.sse import ServerSentEvent
from providers.transport import InboundAnswer, OutboundRequest
from providers.usage import Usage
from providers.vault import SecretText


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
    """Turns a host's events into chunks in OpenAI's format. It only keeps what it has read."""

    @property
    def usage(self) -> Usage | None:
        """What the host has reported so far. Where it has reported the input alone, the output is
        an estimate from what it generated, and `reported` is False."""

    @property
    def ended(self) -> bool:
        """Whether the host has said that the answer is at its end."""

    def feed(self, event: ServerSentEvent) -> list[Chunk]:
        """The chunks that `event` stands for. Raises `StreamFailed`."""

    def close(self) -> Failure | None:
        """Why the answer is not complete although the events have ended; None if it is."""


class Adapter(Protocol):
    """What a module for a provider kind does. `now` is for dates in headers, and for `created`."""

    def encode(self, request: ModelRequest, secret: SecretText | None) -> OutboundRequest:
        """The request on the wire. Raises `Untranslatable` for what the protocol cannot say."""

    def decode(self, inbound: InboundAnswer, request: ModelRequest, *, now: datetime) -> Outcome:
        """The outcome a whole answer stands for."""

    def stream_decoder(self, request: ChatRequest, *, now: datetime) -> StreamDecoder:
        """For the events of a streamed answer."""

    def list_request(
        self, provider: ProviderEntry, secret: SecretText | None, after: str | None = None
    ) -> OutboundRequest:
        """Asks for the models the host has, or for those that follow `after`."""

    def listed(self, inbound: InboundAnswer, *, now: datetime) -> Listing | Failure:
        """The models an answer lists."""


def malformed(message: str, status: int | None = None) -> Failure:
    """An answer that cannot be understood. The work was done, and may be billed."""
    return Failure(
        failure_class=FailureClass.MALFORMED_RESPONSE,
        message=message,
        http_status=status,
        may_be_billed=True,
    )
