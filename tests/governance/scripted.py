"""Providers that answer as a test says, without a wire: attempts are scripted, all else is real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from providers import attempts
from providers.attempts import StreamBroken
from providers.failures import Failure, FailureClass
from providers.registry import CredentialEntry
from providers.requests import Answer, ChatRequest, Chunk, ModelRequest, Outcome
from providers.usage import Usage

USED = Usage(uncached_input=10, output=5)


def answer(text: str = "Yes.", usage: Usage | None = USED) -> Answer:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Answer({"object": "chat.completion", "choices": [choice]}, usage)


def failure(failure_class: FailureClass, **fields: Any) -> Failure:
    """A failure of that class."""
    return Failure(failure_class=failure_class, message="It was told to fail.", **fields)


def piece(text: str, **choice: Any) -> Chunk:
    """A chunk that says something."""
    body = {"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}
    return Chunk({"object": "chat.completion.chunk", "choices": [body]})


@dataclass(slots=True)
class ScriptedStream:
    """Gives its chunks, waits where it is told to, and ends or breaks."""

    chunks: Sequence[Chunk]
    usage: Usage | None = None
    breaks: Failure | None = None
    closed: bool = False
    given: int = 0

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> Chunk:
        if self.given < len(self.chunks):
            self.given += 1
            return self.chunks[self.given - 1]
        if self.breaks is not None:
            raise StreamBroken(self.breaks)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


@dataclass(slots=True)
class Script:
    """What each provider does, by name, attempt by attempt; the last goes on for ever."""

    outcomes: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def next(self, request: ModelRequest, credential: CredentialEntry | None) -> Any:
        """The outcome of this attempt."""
        name = request.model.provider.name
        self.asked.append((name, credential.name if credential else ""))
        left = self.outcomes[name]
        outcome = left.pop(0) if len(left) > 1 else left[0]
        return outcome(request) if callable(outcome) else outcome


def install(monkeypatch: pytest.MonkeyPatch, **outcomes: Any) -> Script:
    """Script the providers of those names; each has one outcome, or a list of them."""
    script = Script(
        {name: one if isinstance(one, list) else [one] for name, one in outcomes.items()}
    )

    async def send(
        request: ModelRequest, credential: CredentialEntry | None, _transport: Any
    ) -> Outcome:
        outcome: Any = script.next(request, credential)
        if hasattr(outcome, "__await__"):
            outcome = await outcome
        assert isinstance(outcome, Answer | Failure)
        return outcome

    async def open_stream(
        request: ChatRequest, credential: CredentialEntry | None, _transport: Any
    ) -> Any:
        return script.next(request, credential)

    monkeypatch.setattr(attempts, "send", send)
    monkeypatch.setattr(attempts, "open_stream", open_stream)
    return script
