"""Making a call at its candidates: retries, failover, breakers, every attempt recorded.

`governance.calls` asks for it once the hold is durable, and is asked back (`Gate`) before an
attempt that was not held for: at another model or credential, or after one that may be billed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from providers import attempts
from providers.attempts import ChunkStream
from providers.chunks import Replay
from providers.course import REAL, Course, Pace, Try
from providers.failures import Failure
from providers.plan import (
    BROKEN_OFF,
    CUT,
    Attempt,
    Entered,
    Gate,
    Invocation,
    Plan,
    Refused,
)
from providers.requests import ChatRequest, ModelRequest
from providers.services import ProviderServices
from providers.streams import WatchedStream, begun

__all__ = [
    "Attempt",
    "Entered",
    "Gate",
    "Invocation",
    "OpenedStream",
    "Pace",
    "Plan",
    "Refused",
    "invoke",
    "open_stream",
]
STREAMED_ONLY = frozenset({"stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A streamed answer whose first substance has come.

    `stream` gives every chunk from the first. Iterating to the end, and closing, record the
    attempt; `attempts()` gives all of them, the one under way as it stands.
    """

    stream: ChunkStream
    request: ModelRequest
    billed: tuple[ModelRequest, ...]
    story: Callable[[], tuple[Attempt, ...]] = tuple

    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt; the one under way reads `broken_off`, which it is if no more comes."""
        return self.story()


async def invoke(
    plan: Plan,
    services: ProviderServices,
    gate: Gate,
    *,
    pace: Pace = REAL,
    record: list[Attempt] | None = None,
) -> Invocation:
    """Make the call. Whatever providers do is an outcome; nothing is raised for it.

    Attempts are added to `record`, if one is given, as they end: a call that is cancelled leaves
    them there.
    """
    return await Course(
        plan, services, gate, pace=pace, make=_answered, record=_begun_with(record)
    ).run()


async def open_stream(
    plan: Plan,
    services: ProviderServices,
    gate: Gate,
    *,
    pace: Pace = REAL,
    record: list[Attempt] | None = None,
) -> OpenedStream | Invocation:
    """Begin a streamed call: failover is over when the first substance has come.

    A model that cannot stream is asked for its whole answer, which is replayed in pieces.
    """
    return await Course(
        plan, services, gate, pace=pace, make=_opened, record=_begun_with(record)
    ).run()


def _begun_with(record: list[Attempt] | None) -> list[Attempt]:
    return [] if record is None else record


async def _answered(call: Course[Invocation], trying: Try) -> Invocation | Failure:
    """Make an attempt, and wait for the whole answer."""
    transport = call.services.transport
    outcome = await attempts.send(trying.request, trying.credential, transport)
    if isinstance(outcome, Failure):
        return outcome
    call.answered(trying, outcome.usage)
    return call.invocation(outcome, trying.request)


async def _opened(call: Course[OpenedStream], trying: Try) -> OpenedStream | Failure:
    """Make an attempt, and wait until its answer begins to have substance."""
    request = trying.request
    assert isinstance(request, ChatRequest), "only chat is streamed"
    if not request.model.streaming:
        return await _replayed(call, trying, request)
    source = await attempts.open_stream(request, trying.credential, call.services.transport)
    if isinstance(source, Failure):
        return source
    beginning = await begun(source)
    if isinstance(beginning, Failure):
        return beginning
    first_token_ms = None if beginning.complete else call.since(trying)
    ending = _Ending(call, trying, source, first_token_ms)
    stream = WatchedStream(source, beginning, ending.note)
    return OpenedStream(stream, request, tuple(call.billed), ending.story)


async def _replayed(
    call: Course[OpenedStream], trying: Try, request: ChatRequest
) -> OpenedStream | Failure:
    body = {name: one for name, one in request.body.items() if name not in STREAMED_ONLY}
    whole = replace(request, body=body, stream=False)
    outcome = await attempts.send(whole, trying.credential, call.services.transport)
    if isinstance(outcome, Failure):
        return outcome
    call.answered(trying, outcome.usage)
    billed, record = tuple(call.billed), tuple(call.record)
    return OpenedStream(Replay(outcome), request, billed, lambda: record)


class _Ending:
    """What a stream's end means for its attempt. The provider has answered, so its probe is over:
    the breaker closes now, and a stream that breaks later counts against it anew."""

    def __init__(
        self, call: Course[Any], trying: Try, source: ChunkStream, first_token_ms: int | None
    ) -> None:
        self._call, self._source = call, source
        self._first_token_ms = first_token_ms
        self._ended = False
        if trying.probe is not None:
            provider = trying.request.model.provider
            call.services.breakers.succeeded(provider, trying.credential, trying.probe)
        self._trying = replace(trying, probe=None)

    def note(self, *, failure: Failure | None = None, complete: bool = False) -> None:
        """Record that it is complete, or was cut by the provider, or was no longer wanted."""
        self._ended = True
        call, first = self._call, self._first_token_ms
        if complete:
            call.answered(self._trying, self._source.usage, first_token_ms=first)
        elif failure is None:
            call.note(self._trying, BROKEN_OFF, first_token_ms=first)
        else:
            call.note(self._trying, CUT, failure, first_token_ms=first)
            call.speak_against(self._trying, failure)

    def story(self) -> tuple[Attempt, ...]:
        """Every attempt, with the one under way as it stands."""
        record = tuple(self._call.record)
        if self._ended:
            return record
        under_way = self._call.told(self._trying, BROKEN_OFF, first_token_ms=self._first_token_ms)
        return (*record, under_way)
