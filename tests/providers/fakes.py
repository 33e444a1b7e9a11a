"""Calls without a wire, a database or a clock: scripted attempts, breakers and time in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers import attempts
from providers.attempts import StreamBroken
from providers.breaker import WELL
from providers.breakers import BreakerBoard, Decision, Key, _Change
from providers.failures import Failure, FailureClass
from providers.invocation import Entered, Pace, Refused
from providers.metrics import MetricsRecorder
from providers.registry import CredentialEntry
from providers.requests import Answer, Chunk, ModelRequest
from providers.response_cache import ResponseCache
from providers.services import ProviderServices
from providers.usage import Usage

START = datetime(2026, 3, 1, tzinfo=UTC)
USED = Usage(uncached_input=10, output=5)
REFUSED = "The budget has no more."


def answer(text: str = "Yes.") -> Answer:
    """A whole completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": {"x": 1}}
    return Answer(body, USED)


def failure(
    failure_class: FailureClass = FailureClass.TRANSIENT_UPSTREAM, **fields: Any
) -> Failure:
    """A failure of that class."""
    return Failure(failure_class=failure_class, message="It failed.", **fields)


def chunk(text: str = "", *, substance: bool = True) -> Chunk:
    """A piece of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return Chunk({"object": "chat.completion.chunk", "choices": [choice]}, substance=substance)


@dataclass(slots=True)
class FakeStream:
    """Gives its chunks, taking so many seconds for each, then ends or breaks."""

    chunks: Sequence[Chunk]
    breaks: Failure | BaseException | None = None
    usage: Usage | None = USED
    seconds: float = 0.0
    clock: Clock | None = None
    given: int = 0
    closed: bool = False

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> Chunk:
        assert not self.closed
        if self.clock is not None:
            self.clock.passed += self.seconds
        if self.given < len(self.chunks):
            self.given += 1
            return self.chunks[self.given - 1]
        if isinstance(self.breaks, BaseException):
            raise self.breaks
        if self.breaks is not None:
            raise StreamBroken(self.breaks)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


@dataclass(slots=True)
class Clock:
    """Time that passes when it is told to, and the waits that were asked for."""

    passed: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """The time of day."""
        return START + timedelta(seconds=self.passed)

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.waits.append(seconds)
        self.passed += seconds

    def pace(self, chance: float = 0.5) -> Pace:
        """Time for a call, and always the same chance."""
        return Pace(self.sleep, lambda: chance, lambda: self.passed, self.now)


class MemoryBoard(BreakerBoard):
    """The board's rules without its database: what is recorded counts at once."""

    def _change(self, key: Key, decide: Decision) -> _Change:
        change = _Change(key, decide)
        status = decide(self._view.get(key, WELL))
        if status is not None:
            self._view = {**self._view, key: status}
        change.future.set_result(status)
        return change


@dataclass(slots=True)
class Sent:
    """An attempt as the provider saw it."""

    request: ModelRequest
    credential: CredentialEntry | None
    outcome: Any


@dataclass(slots=True)
class Entering:
    """The gate was asked, and let it in with a credential, or not."""

    request: ModelRequest
    billed: tuple[ModelRequest, ...]
    entered: Entered | None


class Scene:
    """Services, a gate and scripted providers; `log` has what they saw, in its order.

    `script` gives the outcome of each attempt by the provider's name; the last goes on for ever.
    `doors` gives the gate's word each time: True for the first credential, its place, or False to
    refuse; without any the gate lets everything in.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.clock = Clock()
        self.log: list[Sent | Entering] = []
        self.script: dict[str, list[Any]] = {}
        self.doors: list[bool | int] = []
        self.board = MemoryBoard(clock=self.clock.now)
        self.metrics = MetricsRecorder(clock=self.clock.now)
        transport: Any = None
        self.services = ProviderServices(transport, self.board, self.metrics, ResponseCache())
        if monkeypatch is not None:
            self.install(monkeypatch)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have every attempt scripted."""
        monkeypatch.setattr(attempts, "send", self._attempt)
        monkeypatch.setattr(attempts, "open_stream", self._attempt)

    async def _attempt(
        self, request: ModelRequest, credential: CredentialEntry | None, _: Any
    ) -> Any:
        left = self.script[request.model.provider.name]
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if callable(outcome):
            outcome = outcome()
        self.log.append(Sent(request, credential, outcome))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def enter(
        self,
        request: ModelRequest,
        credentials: Sequence[CredentialEntry],
        billed: Sequence[ModelRequest],
    ) -> Entered | Refused:
        """The gate."""
        door = self.doors.pop(0) if self.doors else True
        if door is False:
            self.log.append(Entering(request, tuple(billed), None))
            return Refused(REFUSED)
        place = 0 if door is True else door % max(1, len(credentials))
        entered = Entered(credentials[place] if credentials else None)
        self.log.append(Entering(request, tuple(billed), entered))
        return entered

    @property
    def sent(self) -> list[Sent]:
        """The attempts that reached a provider."""
        return [one for one in self.log if isinstance(one, Sent)]

    @property
    def entered(self) -> list[Entering]:
        """How often the gate was asked."""
        return [one for one in self.log if isinstance(one, Entering)]
