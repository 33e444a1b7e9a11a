"""`stream: true` from end to end, behind a real server: pieces, failures, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance.models import BudgetPolicy, BudgetWindow, ModelCall
from providers.models import Provider
from tests.openai_endpoint.streams import PATIENCE, chunk, events
from tests.openai_endpoint.web import Scene, ServedWeb, serving
from tests.providers import wire
from tests.providers.wire import Exchange, Wire
from tests.support.factories import make_model, make_price, make_remote

TYPED = {"content-type": "text/event-stream; charset=utf-8"}
# One second is what is promised; what a busy machine takes to notice comes on top.
AT_ONCE = 1.0


def data_of(event: str) -> Any:
    """What an event's data says."""
    assert event.startswith("data: "), event
    return orjson.loads(event.removeprefix("data: "))


def text_of(chunks: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or "" for one in chunks for choice in one["choices"]
    )


async def test_a_stream_says_what_a_whole_answer_says(served: ServedWeb) -> None:
    whole = (await served.chat()).json()
    response = await served.chat(stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"] == TYPED["content-type"]
    *said, cost, done = events(response.text)
    chunks = [data_of(one) for one in said]
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert all(len(one["choices"]) == 1 for one in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert cost.startswith(": x-palyra-cost: 0.0")
    assert done == "data: [DONE]"


async def test_the_usage_comes_last_if_it_was_asked_for(served: ServedWeb) -> None:
    whole = (await served.chat()).json()
    response = await served.chat(stream=True, stream_options={"include_usage": True})
    *_, last, _cost, _done = events(response.text)
    assert data_of(last)["choices"] == []
    assert data_of(last)["usage"] == whole["usage"]


async def test_a_streamed_call_is_in_the_ledger_as_its_head_says(served: ServedWeb) -> None:
    response = await served.chat(stream=True)
    headers = response.headers
    cost = Decimal(response.text.partition(": x-palyra-cost: ")[2].split("\n")[0])
    row = await served.call()
    assert (row.status, row.streamed, row.usage_reported) == ("succeeded", True, True)
    assert str(row.pk) == headers["x-palyra-call-id"]
    assert (headers["x-palyra-model"], headers["x-palyra-attempts"]) == ("here/nice", "1")
    assert row.cost is not None
    assert cost == Decimal(row.cost) / 10**9
    left, _, metric = headers["x-palyra-budget-remaining"].partition("; ")
    assert row.estimate_upper is not None
    assert (metric, Decimal(left)) == ("cost", 1 - Decimal(row.estimate_upper) / 10**9)
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_a_kept_answer_is_marked_and_streamed_as_well(served: ServedWeb) -> None:
    first = await served.chat(temperature=0)
    again = await served.chat(temperature=0, stream=True)
    assert "x-palyra-cache" not in first.headers or first.headers["x-palyra-cache"] == "miss"
    assert again.headers["x-palyra-cache"] == "hit"
    assert again.headers["x-palyra-attempts"] == "0"
    *said, cost, _done = events(again.text)
    assert (
        text_of([data_of(one) for one in said])
        == (first.json()["choices"][0]["message"]["content"])
    )
    assert Decimal(cost.partition(": x-palyra-cost: ")[2]) == 0


@pytest.mark.parametrize("headers", [{"cache-control": "no-store"}, {"cache-control": "no-cache"}])
async def test_a_client_may_want_a_new_answer(served: ServedWeb, headers: dict[str, str]) -> None:
    await served.chat(temperature=0)
    asked = served.asked(temperature=0)
    fresh = await served.client.post("/v1/chat/completions", json=asked, headers=headers)
    assert fresh.headers.get("x-palyra-cache") != "hit"
    assert fresh.headers["x-palyra-attempts"] == "1"


async def test_a_client_may_want_any_answer_that_is_kept(served: ServedWeb) -> None:
    asked, use = served.asked(temperature=1), {"x-palyra-cache": "use"}
    await served.client.post("/v1/chat/completions", json=asked, headers=use)
    kept = await served.client.post("/v1/chat/completions", json=asked, headers=use)
    assert kept.headers["x-palyra-cache"] == "hit"
    plain = await served.client.post("/v1/chat/completions", json=asked)
    assert plain.headers.get("x-palyra-cache") != "hit"


async def test_what_a_call_is_for_is_in_the_ledger(served: ServedWeb) -> None:
    headers = {"x-palyra-task-class": "auxiliary_summary"}
    await served.client.post("/v1/chat/completions", json=served.asked(), headers=headers)
    assert (await served.call()).task_class == "auxiliary_summary"


async def test_what_no_call_is_for_is_refused(served: ServedWeb) -> None:
    headers = {"x-palyra-task-class": "fun"}
    refused = await served.client.post("/v1/chat/completions", json=served.asked(), headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "x-palyra-task-class"
    assert not await ModelCall.objects.aexists()


async def test_a_refusal_is_no_stream(scene: Scene, served: ServedWeb) -> None:
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)
    response = await served.chat(stream=True)
    assert response.status_code == 402
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-should-retry"] == "false"
    assert response.json()["error"]["policy"] == "Monthly"


async def test_a_failure_before_the_first_piece_is_no_stream(every_role: Scene) -> None:
    await Provider.objects.all().aupdate(rehearsal_failure_percent=100, max_retries=0)
    async with serving(every_role.key) as web:
        response = await web.chat(stream=True)
        row = await web.call()
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "provider_failed"
    assert row.status == "failed"


class Pieces:
    """An upstream that streams what a test lets it, one model at a time."""

    def __init__(self) -> None:
        self.next: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def behave(self, exchange: Exchange) -> None:
        self.arrived.set()
        talking = asyncio.create_task(self._talk(exchange))
        await exchange.gone()
        self.left.set()
        talking.cancel()

    async def _talk(self, exchange: Exchange) -> None:
        first = await self.next.get()
        await exchange.begin()
        while first is not None:
            await exchange.piece(first)
            first = await self.next.get()
        exchange.hang_up()

    def say(self, *chunks: dict[str, Any]) -> None:
        for one in chunks:
            self.next.put_nowait(b"data: %b\n\n" % orjson.dumps(one))

    def break_off(self) -> None:
        self.next.put_nowait(None)


@pytest.fixture
def pieces() -> Pieces:
    return Pieces()


@asynccontextmanager
async def upstream(scene: Scene, pieces: Pieces) -> AsyncIterator[ServedWeb]:
    """A served application whose model `far` is at the upstream."""
    async with wire.serving(pieces.behave) as far:
        await sync_to_async(_register)(far)
        async with serving(scene.key) as web:
            yield web


def _register(far: Wire) -> None:
    provider = make_remote(name="remote", base_url=far.base_url, max_retries=0)
    make_price(make_model(provider=provider, name="far", max_output_tokens=1000))


@asynccontextmanager
async def streamed(web: ServedWeb) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
    """A streamed answer of `far`, and its lines as they come."""
    asked = web.asked(model="far", stream=True)
    async with web.client.stream("POST", "/v1/chat/completions", json=asked) as response:
        yield response, response.aiter_lines()


async def test_chunks_are_passed_on_as_they_come(scene: Scene, pieces: Pieces) -> None:
    async with upstream(scene, pieces) as web, asyncio.timeout(PATIENCE):
        pieces.say(chunk("one"))
        async with streamed(web) as (response, lines):
            assert response.status_code == 200
            for word in ("one", "two", "three"):
                assert data_of(await anext(lines))["choices"][0]["delta"]["content"] == word
                assert await anext(lines) == ""
                pieces.say(chunk({"one": "two", "two": "three"}.get(word, "more")))


async def test_what_breaks_off_ends_in_an_error_and_is_charged(
    scene: Scene, pieces: Pieces
) -> None:
    async with upstream(scene, pieces) as web, asyncio.timeout(PATIENCE):
        pieces.say(chunk("one"), chunk("two"))
        pieces.break_off()
        response = await web.chat(model="far", stream=True)
        row = await web.call()
    assert response.status_code == 200
    *said, error = events(response.text)
    assert text_of([data_of(one) for one in said]) == "onetwo"
    failed = data_of(error)["error"]
    assert {"message", "type", "param", "code"} <= set(failed)
    assert failed["type"] == "provider_error"
    assert failed["call_id"] == str(row.pk)
    assert "[DONE]" not in response.text
    assert row.status == "failed"
    assert row.output_tokens is not None and row.output_tokens > 0
    assert row.cost is not None and row.cost > 0


async def settled_row(patience: float = PATIENCE) -> ModelCall:
    """The only call's row, as soon as it is settled."""
    async with asyncio.timeout(patience):
        while True:
            row = await ModelCall.objects.aget()
            if row.settled_at is not None:
                return row
            await asyncio.sleep(0.02)


async def test_a_client_that_leaves_in_mid_stream_is_noticed_at_once(
    scene: Scene, pieces: Pieces
) -> None:
    async with upstream(scene, pieces) as web, asyncio.timeout(PATIENCE):
        pieces.say(chunk("a word or two"))
        async with streamed(web) as (_, lines):
            await anext(lines)
        left_at = timezone.now()
        async with asyncio.timeout(AT_ONCE):
            await pieces.left.wait()
        row = await settled_row()
    assert row.settled_at is not None
    assert (row.settled_at - left_at).total_seconds() < AT_ONCE
    assert row.status == "cancelled"
    assert row.output_tokens is not None and 0 < row.output_tokens < 100
    assert row.cost is not None and row.cost > 0
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_a_client_that_leaves_before_the_first_piece_is_noticed_at_once(
    scene: Scene, pieces: Pieces
) -> None:
    async with upstream(scene, pieces) as web, asyncio.timeout(PATIENCE):
        asking = asyncio.create_task(web.chat(model="far", stream=True))
        await pieces.arrived.wait()
        asking.cancel()
        async with asyncio.timeout(AT_ONCE):
            await pieces.left.wait()
        row = await settled_row()
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0


async def test_a_server_that_stops_in_mid_stream_says_so(scene: Scene, pieces: Pieces) -> None:
    async with upstream(scene, pieces) as web, asyncio.timeout(PATIENCE):
        pieces.say(chunk("one"))
        async with streamed(web) as (_, lines):
            await anext(lines)
            stopping = asyncio.create_task(web.stop())
            rest = [line async for line in lines if line]
            await stopping
    assert data_of(rest[-1])["error"]["code"] == "shutting_down"
    row = await ModelCall.objects.aget()
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0


async def test_a_slow_reader_slows_the_provider_down(scene: Scene, pieces: Pieces) -> None:
    """Of what the upstream would send, no more is taken than fits the buffers in between."""
    large, sent = chunk("x" * 60_000), 0
    flooding = asyncio.Event()

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.begin()
        piece = b"data: %b\n\n" % orjson.dumps(large)
        while sent < 2000:
            await exchange.piece(piece)
            sent += 1
            flooding.set()

    async with wire.serving(flood) as far:
        await sync_to_async(_register)(far)
        async with serving(scene.key) as web, asyncio.timeout(PATIENCE), streamed(web):
            await flooding.wait()
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 1000
