"""A streamed call: failover until the first substance, and after it every end is recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from providers.attempts import StreamBroken
from providers.breakers import Verdict
from providers.failures import Failure, FailureClass
from providers.invocation import Attempt, Invocation, OpenedStream, Plan, open_stream
from providers.requests import ChatRequest
from tests.providers.assembling import assembled
from tests.providers.entries import chat_request, model_entry, provider_entry
from tests.providers.fakes import USED, FakeStream, Scene, answer, chunk, failure

ROLE, HEL, LO = chunk(substance=False), chunk("Hel"), chunk("lo")
END = chunk(substance=False)
BREAKS = failure(FailureClass.MALFORMED_RESPONSE, may_be_billed=True)
DOWN, GONE = failure(), failure(FailureClass.PERMANENT_UPSTREAM)
ASKED_WRONG = failure(FailureClass.PERMANENT_UPSTREAM, callers_fault=True)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Scripted providers."""
    return Scene(monkeypatch)


def request_to(name: str, *, streaming: bool = True, **fields: Any) -> ChatRequest:
    """A request for a stream to a model of a provider of that name."""
    model = model_entry(provider_entry(name=name, **fields), name="m", streaming=streaming)
    return chat_request(model, stream=True, stream_options={"include_usage": True}, top_k=1)


async def begin(scene: Scene, *candidates: ChatRequest, **script: Any) -> OpenedStream | Invocation:
    """Begin a call; `script` has each provider's outcomes."""
    for name, outcomes in script.items():
        scene.script[name] = list(outcomes) if isinstance(outcomes, list) else [outcomes]
    plan = Plan(candidates, None)
    return await open_stream(plan, scene.services, scene, pace=scene.clock.pace())


async def opened(scene: Scene, *candidates: ChatRequest, **script: Any) -> OpenedStream:
    """The same where a stream comes of it."""
    stream = await begin(scene, *candidates, **script)
    assert isinstance(stream, OpenedStream)
    return stream


def story(attempts: tuple[Attempt, ...]) -> list[tuple[str, str]]:
    return [(one.provider, one.outcome) for one in attempts]


async def test_every_chunk_comes_and_the_attempt_is_recorded_at_the_end(scene: Scene) -> None:
    request = request_to("a")
    source = FakeStream([ROLE, HEL, LO, END], seconds=0.1, clock=scene.clock)
    stream = await opened(scene, request, a=source)
    # Only what was needed to know that it has begun.
    assert source.given == 2
    assert stream.request is request
    assert stream.attempts() == (
        Attempt(provider="a", model="m", outcome="broken_off", latency_ms=200, first_token_ms=200),
    )
    assert [one async for one in stream.stream] == [ROLE, HEL, LO, END]
    await stream.stream.aclose()
    assert stream.attempts() == (
        Attempt(provider="a", model="m", outcome="answered", latency_ms=500, first_token_ms=200),
    )
    assert (source.closed, stream.stream.usage) == (True, USED)


BEFORE: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    (
        "one that cannot be opened is tried again",
        {"a": [DOWN, FakeStream([HEL])]},
        [("a", "failed"), ("a", "broken_off")],
    ),
    (
        "one that breaks before it says anything is left",
        {"a": FakeStream([ROLE], breaks=BREAKS), "b": FakeStream([HEL])},
        [("a", "failed"), ("b", "broken_off")],
    ),
    (
        "or breaks at once",
        {"a": FakeStream([], breaks=GONE), "b": FakeStream([HEL])},
        [("a", "failed"), ("b", "broken_off")],
    ),
]


@pytest.mark.parametrize(
    ("script", "attempts"), [r[1:] for r in BEFORE], ids=[r[0] for r in BEFORE]
)
async def test_failover_until_the_first_substance(
    scene: Scene, script: dict[str, Any], attempts: list[tuple[str, str]]
) -> None:
    stream = await opened(scene, request_to("a"), request_to("b"), **script)
    assert story(stream.attempts()) == attempts
    assert [one async for one in stream.stream] == [HEL]
    assert story(stream.attempts()) == [*attempts[:-1], (attempts[-1][0], "answered")]


async def test_a_stream_that_is_given_up_is_closed_and_billed(scene: Scene) -> None:
    first, source = request_to("a"), FakeStream([ROLE], breaks=BREAKS)
    stream = await opened(scene, first, request_to("b"), a=source, b=FakeStream([HEL]))
    assert source.closed
    assert stream.billed == (first,)
    assert [one.billed for one in scene.entered] == [(first,)]


async def test_where_none_begins_it_is_an_invocation(scene: Scene) -> None:
    second = request_to("b")
    made = await begin(scene, request_to("a"), second, a=GONE, b=ASKED_WRONG)
    assert isinstance(made, Invocation)
    assert (made.outcome, made.request) == (ASKED_WRONG, second)
    assert story(made.attempts) == [("a", "failed"), ("b", "failed")]


@pytest.mark.parametrize("chunks", [[], [ROLE], [ROLE, END]])
async def test_an_answer_without_substance_is_one(scene: Scene, chunks: list[Any]) -> None:
    stream = await opened(scene, request_to("a"), a=FakeStream(chunks))
    assert [one async for one in stream.stream] == chunks
    (attempt,) = stream.attempts()
    assert (attempt.outcome, attempt.first_token_ms) == ("answered", None)
    with pytest.raises(StopAsyncIteration):
        await anext(stream.stream)


async def test_a_break_after_it_is_raised_and_recorded_as_a_cut(scene: Scene) -> None:
    request = request_to("a", breaker_threshold=1)
    stream = await opened(scene, request, request_to("b"), a=FakeStream([HEL, LO], breaks=BREAKS))
    got = []
    with pytest.raises(StreamBroken) as broken:
        async for one in stream.stream:
            got.append(one)
    assert got == [HEL, LO]
    assert broken.value.failure is BREAKS
    await stream.stream.aclose()
    (attempt,) = stream.attempts()
    assert (attempt.outcome, attempt.failure_class) == ("cut", "malformed_response")
    assert (attempt.message, attempt.may_be_billed) == ("It failed.", True)
    provider = request.model.provider
    assert scene.board.view(provider, None, scene.clock.now()).verdict is Verdict.REFUSE
    # Whatever the consumer does then, nothing more comes.
    with pytest.raises(StopAsyncIteration):
        await anext(stream.stream)
    assert len(stream.attempts()) == 1


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_closing_early_breaks_it_off(scene: Scene, read: int) -> None:
    source = FakeStream([HEL, LO, END])
    stream = await opened(scene, request_to("a", breaker_threshold=1), a=source)
    for _ in range(read):
        await anext(stream.stream)
    await stream.stream.aclose()
    await stream.stream.aclose()
    assert source.closed
    assert story(stream.attempts()) == [("a", "broken_off")]
    assert scene.board._view == {}


async def test_cancelled_while_it_is_opened(scene: Scene) -> None:
    source = FakeStream([ROLE], breaks=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await begin(scene, request_to("a"), a=source)
    assert source.closed


async def test_cancelled_while_it_is_read(scene: Scene) -> None:
    source = FakeStream([HEL], breaks=asyncio.CancelledError())
    stream = await opened(scene, request_to("a"), a=source)
    await anext(stream.stream)
    with pytest.raises(asyncio.CancelledError):
        await anext(stream.stream)
    await stream.stream.aclose()
    assert story(stream.attempts()) == [("a", "broken_off")]


# --- breakers and metrics


async def test_the_first_substance_ends_a_probe(scene: Scene) -> None:
    request = request_to("a", breaker_threshold=2)
    provider = request.model.provider
    for _ in range(2):
        scene.board.failed(provider, None, DOWN)
    scene.clock.passed += 30
    stream = await opened(scene, request, a=FakeStream([HEL], breaks=BREAKS))
    assert scene.board.view(provider, None, scene.clock.now()).verdict is Verdict.PASS
    with pytest.raises(StreamBroken):
        [one async for one in stream.stream]
    # A cut counts, as the first of its kind.
    assert scene.board._view[provider.id, None].failures == 1


async def test_an_answer_clears_failures_only_when_it_is_complete(scene: Scene) -> None:
    request = request_to("a")
    scene.board.failed(request.model.provider, None, DOWN)
    stream = await opened(scene, request, a=FakeStream([HEL]))
    key = request.model.provider.id, None
    assert scene.board._view[key].failures == 1
    assert [one async for one in stream.stream] == [HEL]
    assert scene.board._view[key].failures == 0


async def test_what_is_measured(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(scene.metrics, "answered", lambda *of, **took: seen.append((*of, took)))
    monkeypatch.setattr(scene.metrics, "failed", lambda *of: seen.append(of))
    first, second = request_to("a"), request_to("b")
    source = FakeStream([ROLE, HEL, LO], seconds=0.1, clock=scene.clock)
    stream = await opened(scene, first, second, a=FakeStream([], breaks=GONE), b=source)
    assert [one async for one in stream.stream] == [ROLE, HEL, LO]
    assert seen == [
        (first.model.provider.id, "m", "permanent_upstream"),
        (
            second.model.provider.id,
            "m",
            {"latency_ms": 400, "first_token_ms": 200, "output_tokens": USED.output},
        ),
    ]


# --- models that cannot stream


async def test_a_model_that_cannot_stream_is_asked_whole_and_replayed(scene: Scene) -> None:
    whole = answer("Hello.")
    stream = await opened(scene, request_to("a", streaming=False), a=whole)
    (sent,) = scene.sent
    assert isinstance(sent.request, ChatRequest)
    assert not sent.request.stream
    assert sent.request.body["top_k"] == 1
    assert {"stream", "stream_options"}.isdisjoint(sent.request.body)
    chunks = [one async for one in stream.stream]
    assert assembled(chunks) == whole.body
    assert stream.stream.usage is USED
    await stream.stream.aclose()
    assert story(stream.attempts()) == [("a", "answered")]


async def test_its_failures_fail_over_as_others_do(scene: Scene) -> None:
    stream = await opened(
        scene, request_to("a", streaming=False), request_to("b"), a=GONE, b=FakeStream([HEL])
    )
    assert story(stream.attempts()) == [("a", "failed"), ("b", "broken_off")]
    assert isinstance(scene.sent[0].outcome, Failure)


async def test_a_request_that_is_billed_is_the_one_that_was_planned(scene: Scene) -> None:
    first = request_to("a", streaming=False)
    stream = await opened(scene, first, request_to("b"), a=BREAKS, b=FakeStream([HEL]))
    assert stream.billed == (first,)
