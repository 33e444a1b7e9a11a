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
    outcome = _redacted(await _chat(request, transport), request)
    latency_ms = round((time.monotonic() - started) * 1000)
    return Invocation(outcome, (_attempt(request, outcome, latency_ms),))


async def _chat(request: ChatRequest, transport: Transport) -> ChatOutcome:
    provider = request.model.provider
    if provider.credential_fault:
        return Failure(failure_class=FailureClass.AUTH_INVALID, message=provider.credential_fault)
    if provider.kind == ProviderKind.DETERMINISTIC:
        return await deterministic.chat(request)
    return await openai_compatible.chat(request, transport)


def _redacted(outcome: ChatOutcome, request: ChatRequest) -> ChatOutcome:
    """Hosts like to repeat the key they were given when they refuse it."""
    credential = request.model.provider.credential
    if isinstance(outcome, ChatAnswer) or credential is None:
        return outcome
    return replace(outcome, message=outcome.message.replace(credential.text, MASK))


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
