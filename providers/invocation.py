"""Making a call at a provider: what `governance.calls` asks for once the hold is durable."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from providers.adapters import deterministic, openai_compatible
from providers.chat import ChatAnswer, ChatOutcome, ChatRequest
from providers.failures import Failure, FailureClass
from providers.models import ProviderKind
from providers.transport import Transport
from providers.vault import MASK

MESSAGE_LENGTH = 350


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider, as the ledger keeps it."""

    provider: str
    model: str
    outcome: str
    failure_class: str = ""
    message: str = ""
    http_status: int | None = None
    latency_ms: int

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Invocation:
    """How it went: the outcome of the last attempt, and every attempt."""

    outcome: ChatOutcome
    attempts: tuple[Attempt, ...]


async def invoke(request: ChatRequest, transport: Transport) -> Invocation:
    """Make the call. Whatever the provider does is an outcome; nothing is raised for it."""
    started = time.monotonic()
    outcome = _presentable(await _chat(request, transport), request)
    latency_ms = round((time.monotonic() - started) * 1000)
    return Invocation(outcome, (_attempt(request, outcome, latency_ms),))


async def _chat(request: ChatRequest, transport: Transport) -> ChatOutcome:
    provider = request.model.provider
    if provider.credential_fault:
        return Failure(failure_class=FailureClass.AUTH_INVALID, message=provider.credential_fault)
    if provider.kind == ProviderKind.DETERMINISTIC:
        return await deterministic.chat(request)
    return await openai_compatible.chat(request, transport)


def _presentable(outcome: ChatOutcome, request: ChatRequest) -> ChatOutcome:
    """A failure's message in one line, not too long, without the key, which hosts like to repeat.

    Redacted first: a message cut in the middle of a key would show the half of it.
    """
    if isinstance(outcome, ChatAnswer):
        return outcome
    message, credential = outcome.message, request.model.provider.credential
    if credential is not None and credential.text:
        message = message.replace(credential.text, MASK)
    # Neither a log nor every database takes each character that a host may send.
    message = "".join(one if one.isprintable() else " " for one in message)
    if len(message) > MESSAGE_LENGTH:
        message = message[: MESSAGE_LENGTH - 1] + "…"
    return replace(outcome, message=message)


def _attempt(request: ChatRequest, outcome: ChatOutcome, latency_ms: int) -> Attempt:
    provider, model = request.model.provider.name, request.model.name
    if isinstance(outcome, ChatAnswer):
        return Attempt(provider=provider, model=model, outcome="answered", latency_ms=latency_ms)
    return Attempt(
        provider=provider,
        model=model,
        outcome="failed",
        failure_class=outcome.failure_class,
        message=outcome.message,
        http_status=outcome.http_status,
        latency_ms=latency_ms,
    )
