"""A streamed attempt: its chunks, its end, and streams that are none."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from providers import attempts
from providers.attempts import StreamBroken
from providers.failures import FailureClass
from providers.usage import Usage
from providers.vault import MASK
from tests.providers.anthropic_reference import events_of, message, sent_event
from tests.providers.entries import anthropic_entry, chat_request, model_entry
from tests.providers.fake_transport import (
    BROKEN,
    COMPLETION,
    DONE,
    KEY,
    FakeStream,
    chunk,
    drained,
    event,
    not_opened,
    opened,
    texts,
)


async def test_events_are_chunks() -> None:
    source = FakeStream(coming=[chunk("Hi "), chunk("there."), chunk("", "stop"), DONE])
    stream = await opened(source)
    chunks = await drained(stream)
    assert texts(chunks) == ["Hi ", "there."]
    assert {one.body["model"] for one in chunks} == {"nice"}
    assert source.exhausted
    await stream.aclose()
    assert source.closed == 1


async def test_usage_is_known_as_soon_as_it_is_reported() -> None:
    usage = event({"choices": [], "usage": COMPLETION["usage"]})
    stream = await opened(FakeStream(coming=[chunk("Hi", "stop"), usage, DONE]))
    await anext(stream)
    assert stream.usage is None
    assert (await anext(stream)).usage_only
    assert stream.usage == Usage(uncached_input=3, output=2)


async def test_anthropics_events_are_chunks() -> None:
    events = [sent_event(one) for one in events_of(message({"type": "text", "text": "Hi you."}))]
    request = chat_request(model_entry(anthropic_entry()), stream=True)
    stream = await opened(FakeStream(coming=events), request)
    assert "".join(texts(await drained(stream))) == "Hi you."
    assert stream.usage == Usage(uncached_input=10, output=5)


@pytest.mark.parametrize("media_type", ["", "text/plain", "TEXT/EVENT-STREAM", "text/event-stream"])
async def test_some_hosts_label_their_events_badly(media_type: str) -> None:
    source = FakeStream(headers={"content-type": media_type}, coming=[chunk("Hi", "stop"), DONE])
    assert texts(await drained(await opened(source))) == ["Hi"]


async def test_a_host_that_does_not_hang_up_after_the_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "DRAIN_SECONDS", 0.01)
    source = FakeStream(coming=[chunk("Hi", "stop"), DONE], lingers=True)
    stream = await opened(source)
    async with asyncio.timeout(5):
        assert texts(await drained(stream)) == ["Hi"]


@pytest.mark.parametrize(
    ("coming", "failure_class"),
    [
        pytest.param([chunk("Hi")], FailureClass.MALFORMED_RESPONSE, id="ends too soon"),
        pytest.param([chunk("Hi"), BROKEN], FailureClass.NETWORK_UNAVAILABLE, id="breaks"),
        pytest.param(
            [chunk("Hi"), event({"error": {"message": KEY}})],
            FailureClass.TRANSIENT_UPSTREAM,
            id="an error",
        ),
        pytest.param([chunk("Hi"), event("x")], FailureClass.MALFORMED_RESPONSE, id="nonsense"),
    ],
)
async def test_a_stream_that_breaks_off_raises_after_what_came(
    coming: list[Any], failure_class: FailureClass
) -> None:
    stream = await opened(FakeStream(coming=coming))
    assert (await anext(stream)).substance
    with pytest.raises(StreamBroken) as caught:
        await anext(stream)
    assert caught.value.failure.failure_class is failure_class
    assert KEY not in caught.value.failure.message
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_of_nothing_is_broken() -> None:
    stream = await opened(FakeStream(coming=[DONE]))
    with pytest.raises(StreamBroken):
        await anext(stream)


async def test_what_breaks_after_the_answer_takes_nothing_away_from_it() -> None:
    without_done = FakeStream(coming=[chunk("Hi", "stop"), BROKEN])
    after_done = FakeStream(coming=[chunk("Hi", "stop"), DONE, BROKEN])
    for source in (without_done, after_done):
        assert texts(await drained(await opened(source))) == ["Hi"]


async def test_a_closed_stream_gives_nothing_more() -> None:
    source = FakeStream(coming=[chunk("Hi"), chunk("there")])
    stream = await opened(source)
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert source.closed == 1


# --- Streams that are none ------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


async def test_an_error_is_a_failure_and_the_stream_is_closed() -> None:
    body = {"error": {"message": f"Not with {KEY}."}}
    source = FakeStream(403, JSON, answer=body)
    failure = await not_opened(source)
    assert failure.failure_class is FailureClass.PERMISSION_DENIED
    assert failure.message == f"The provider answered 403: Not with {MASK}."
    assert source.closed == 1


async def test_an_error_labelled_as_events_is_still_an_error() -> None:
    assert (await not_opened(FakeStream(500))).failure_class is FailureClass.TRANSIENT_UPSTREAM


async def test_a_host_that_does_not_stream_is_taken_at_its_word() -> None:
    source = FakeStream(200, JSON, answer=orjson.loads(orjson.dumps(COMPLETION)))
    stream = await opened(source)
    chunks = await drained(stream)
    assert texts(chunks) == ["Hi."]
    assert chunks[-2].body["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1].usage_only
    assert {one.body["object"] for one in chunks} == {"chat.completion.chunk"}
    assert stream.usage == Usage(uncached_input=3, output=2)
    assert source.closed == 1
    await stream.aclose()


@pytest.mark.parametrize("answer", [None, {}, {"choices": []}])
async def test_anything_else_is_malformed(answer: Any) -> None:
    failure = await not_opened(FakeStream(200, JSON, answer=answer))
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.may_be_billed


async def test_a_stream_that_cannot_be_opened_or_read() -> None:
    assert await not_opened(BROKEN) == BROKEN
    source = FakeStream(500, JSON, read_fails=BROKEN)
    assert await not_opened(source) == BROKEN
    assert source.closed == 1
