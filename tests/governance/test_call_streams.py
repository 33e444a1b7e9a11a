"""Calls whose answers come in pieces: however a stream ends, it is settled once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from governance.calls import CallStream, open_stream
from governance.errors import BudgetBlocked, ProviderFailed
from governance.models import BudgetPolicy, ModelCall
from providers.failures import FailureClass
from providers.requests import Chunk
from providers.response_cache import CacheUse
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import ScriptedStream, failure, install, piece
from tests.support.factories import make_policy

pytestmark = pytest.mark.django_db(transaction=True)
ROLE = Chunk({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, substance=False)
END = Chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, substance=True)
USED = Usage(uncached_input=20, output=7)
TOLD = Chunk({"choices": [], "usage": {"prompt_tokens": 20}}, substance=False, usage_only=True)
CUT = failure(FailureClass.MALFORMED_RESPONSE, may_be_billed=True)


def whole() -> ScriptedStream:
    return ScriptedStream([ROLE, piece("Good "), piece("morning"), END, TOLD], usage=USED)


class NeverClosed(ScriptedStream):
    """A stream whose host does not let go of it."""

    def __init__(self, chunks: list[Chunk]) -> None:
        super().__init__(chunks)
        self.closing = asyncio.Event()

    async def aclose(self) -> None:
        self.closing.set()
        await asyncio.Event().wait()


async def opened(two: TwoProviders, **body: Any) -> CallStream:
    return await open_stream(two.request(stream=True, **body), runtime=two.runtime)


def text_of(chunks: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_a_whole_stream_is_charged_as_reported(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = whole()
    install(monkeypatch, first=source)
    stream = await opened(two)
    # The first substance has come, and the hold stands until the end.
    assert (await ModelCall.objects.aget()).status == "in_flight"
    chunks = [chunk async for chunk in stream]
    await stream.aclose()
    row = await two.row()
    assert text_of(chunks) == "Good morning"
    assert not any(chunk.get("usage") for chunk in chunks)
    assert (row.status, row.streamed, row.usage_reported) == ("succeeded", True, True)
    assert row.cost == stream.cost == 20 * 1000 + 7 * 2000
    assert row.first_token_ms is not None
    assert source.closed
    assert await two.counters() == (row.cost, 0, 0)


@pytest.mark.parametrize("reported", [True, False])
async def test_the_usage_comes_last_if_it_was_asked_for(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch, reported: bool
) -> None:
    pieces = [ROLE, piece("x" * 40), END, *([TOLD] if reported else [])]
    install(monkeypatch, first=ScriptedStream(pieces, usage=USED if reported else None))
    stream = await opened(two, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    await stream.aclose()
    row = await two.row()
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == row.uncached_input_tokens
    assert sum("usage" in chunk for chunk in chunks) == 1
    assert row.usage_reported is reported
    if not reported:
        assert row.output_tokens == 10
        assert row.uncached_input_tokens == row.expected_input_tokens


async def test_a_stream_that_is_left_is_charged_for_what_was_generated(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedStream([ROLE, piece("x" * 80), piece("y" * 80), END])
    install(monkeypatch, first=source)
    stream = await opened(two)
    async for chunk in stream:
        if text_of([chunk]):
            break
    await stream.aclose()
    await stream.aclose()
    row = await two.row()
    assert source.closed
    assert (row.status, row.output_tokens, row.usage_reported) == ("cancelled", 20, False)
    assert row.cost == row.expected_input_tokens * 1000 + 20 * 2000
    assert [one["outcome"] for one in row.attempts] == ["broken_off"]
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_stream_whose_closing_is_not_waited_for_is_settled(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NeverClosed([ROLE, piece("x" * 80), END])
    install(monkeypatch, first=source)
    stream = await opened(two)
    assert not text_of([await anext(stream)])
    closing = asyncio.create_task(stream.aclose())
    await source.closing.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    row = await two.row()
    assert row.status == "cancelled"
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_stream_that_breaks_raises_and_is_charged_for_what_came(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Usage(uncached_input=30, cache_read=4, output=1)
    source = ScriptedStream([ROLE, piece("x" * 80)], usage=begun, breaks=CUT)
    install(monkeypatch, first=source)
    stream = await opened(two)
    with pytest.raises(ProviderFailed, match="first/cheap broke its answer off"):
        async for _ in stream:
            pass
    await stream.aclose()
    row = await two.row()
    assert (row.status, row.failure_class) == ("failed", "malformed_response")
    assert [one["outcome"] for one in row.attempts] == ["cut"]
    # The host's own count of the input, and the text's size where its count was not final.
    assert (row.uncached_input_tokens, row.cache_read_tokens, row.output_tokens) == (30, 4, 20)
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_stream_goes_on_elsewhere_only_before_its_first_substance(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = ScriptedStream([ROLE], breaks=failure(FailureClass.PERMANENT_UPSTREAM))
    install(monkeypatch, first=early, second=whole())
    stream = await opened(two)
    chunks = [chunk async for chunk in stream]
    await stream.aclose()
    row = await two.row()
    assert (stream.provider, text_of(chunks)) == ("second", "Good morning")
    assert sum(chunk["choices"][:1] == ROLE.body["choices"] for chunk in chunks) == 1
    assert [one["outcome"] for one in row.attempts] == ["failed", "answered"]
    assert row.cost == 20 * 10_000 + 7 * 20_000
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_stream_that_never_begins_is_an_error(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        monkeypatch,
        first=failure(FailureClass.PERMANENT_UPSTREAM),
        second=failure(FailureClass.PERMANENT_UPSTREAM),
    )
    with pytest.raises(ProviderFailed):
        await opened(two)
    row = await two.row()
    assert (row.status, row.cost) == ("failed", 0)
    assert await two.counters() == (0, 0, 0)


async def test_a_stream_is_refused_before_its_first_byte(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=whole())
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(hard_limit=1)
    with pytest.raises(BudgetBlocked):
        await opened(two)
    assert script.asked == []


async def test_a_stream_is_kept_and_given_again_for_nothing(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=whole())
    texts, costs = [], []
    for _ in range(2):
        stream = await opened(two, temperature=0)
        texts.append(text_of([chunk async for chunk in stream]))
        await stream.aclose()
        costs.append((stream.cached, stream.cost))
    await two.runtime.stop()
    assert texts == ["Good morning"] * 2
    assert costs == [(False, 34_000), (True, 0)]
    assert len(script.asked) == 1
    rows = [row async for row in ModelCall.objects.order_by("admitted_at")]
    assert [(row.cached, row.cost, row.status) for row in rows] == [
        (False, 34_000, "succeeded"),
        (True, 0, "succeeded"),
    ]
    assert await two.counters() == (34_000, 0, 0)


async def test_a_kept_answer_that_a_budget_refuses_is_none(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, first=whole())
    stream = await opened(two, temperature=0)
    assert text_of([chunk async for chunk in stream]) == "Good morning"
    await stream.aclose()
    await sync_to_async(make_policy)(metric="requests", hard_limit=1)
    with pytest.raises(BudgetBlocked):
        await opened(two, temperature=0)
    await two.runtime.stop()
    refused = await ModelCall.objects.aget(status="blocked")
    assert not refused.cached


async def test_no_store_neither_reads_nor_keeps(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=[whole(), whole(), whole()])
    request = two.request(stream=True, temperature=0)
    for use in (CacheUse.OFF, CacheUse.OFF):
        asked = type(request)(caller=request.caller, body=request.body, cache=use)
        stream = await open_stream(asked, runtime=two.runtime)
        assert text_of([chunk async for chunk in stream]) == "Good morning"
        await stream.aclose()
    assert len(script.asked) == 2
