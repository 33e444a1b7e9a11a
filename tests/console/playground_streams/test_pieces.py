"""An answer in the playground, piece by piece: as it comes, stopped, or not coming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import get_ident
from typing import Any

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from governance import calls
from governance.models import (
    BudgetWindow,
    ModelCall,
)
from palyra_site.console.playground import sending
from providers.models import ProviderModel
from tests.console.playground_streams.sending import SEND, Sent, cookies_of
from tests.openai_endpoint.streams import PATIENCE, chunk
from tests.openai_endpoint.web import Scene, serving
from tests.providers import wire
from tests.providers.wire import Exchange
from tests.support.factories import make_model, make_price, make_remote

# One second is what is promised; what a busy machine takes to notice comes on top.
AT_ONCE = 1.0


@pytest.fixture
async def served(scene: Scene, person: User) -> AsyncIterator[Sent]:
    cookies = await sync_to_async(cookies_of)(person)
    async with serving(scene.key) as web:
        yield Sent(web, person, scene, cookies)


class Pieces:
    """An upstream that streams what a test lets it."""

    def __init__(self) -> None:
        self.next: asyncio.Queue[bytes] = asyncio.Queue()
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
        while True:
            await exchange.piece(first)
            first = await self.next.get()

    def say(self, *words: str) -> None:
        for word in words:
            self.next.put_nowait(b"data: %b\n\n" % orjson.dumps(chunk(word)))


@pytest.fixture
async def far(scene: Scene) -> AsyncIterator[Pieces]:
    """Who answers as the model `far`."""
    pieces = Pieces()
    async with wire.serving(pieces.behave) as remote:
        await sync_to_async(_register)(remote.base_url)
        yield pieces


def _register(base_url: str) -> ProviderModel:
    provider = make_remote(name="remote", base_url=base_url, max_retries=0)
    model = make_model(provider=provider, name="far", max_output_tokens=1000)
    make_price(model)
    return model


async def test_pieces_are_passed_on_as_they_come(far: Pieces, served: Sent) -> None:
    async with asyncio.timeout(PATIENCE), served.sending(model="far") as found:
        assert (await anext(found))[0] == "accepted"
        far.say("one")
        assert (await anext(found))[0] == "begun"
        for word in ("one", "two", "three"):
            assert await anext(found) == ("text", {"text": word})
            far.say({"one": "two", "two": "three"}.get(word, "more"))


@pytest.mark.parametrize("said", [(), ("a word or two",)])
async def test_whoever_stops_ends_the_call_and_pays_for_what_was_done(
    far: Pieces, served: Sent, said: tuple[str, ...]
) -> None:
    async with asyncio.timeout(PATIENCE):
        async with served.sending(model="far") as found:
            await anext(found)
            await far.arrived.wait()
            far.say(*said)
            for _ in said:
                await anext(found)
        left_at = timezone.now()
        async with asyncio.timeout(AT_ONCE):
            await far.left.wait()
        row = await _settled()

    assert row.settled_at is not None
    assert (row.settled_at - left_at).total_seconds() < AT_ONCE
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_a_server_that_stops_settles_what_is_under_way(far: Pieces, served: Sent) -> None:
    async with asyncio.timeout(PATIENCE), served.sending(model="far") as found:
        far.say("one")
        await anext(found)
        await anext(found)
        stopping = asyncio.create_task(served.web.stop())
        await far.left.wait()
        await stopping

    row = await ModelCall.objects.aget()
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0


async def test_a_silent_provider_does_not_silence_the_connection(
    far: Pieces, served: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "KEEP_ALIVE_SECONDS", 0.02)
    form, headers = served.form(model="far"), served.headers
    async with (
        asyncio.timeout(PATIENCE),
        served.web.client.stream("POST", SEND, data=form, headers=headers) as response,
    ):
        lines = [line async for line in _some(response, ": keep-alive", 3)]

    assert len(lines) == 3
    assert response.headers["x-accel-buffering"] == "no"
    assert "no-store" in response.headers["cache-control"]


async def _some(response: httpx.Response, wanted: str, most: int) -> AsyncIterator[str]:
    seen = 0
    async for line in response.aiter_lines():
        if line == wanted:
            seen += 1
            yield line
        if seen == most:
            return


async def test_an_answer_under_way_keeps_no_connection_to_the_database(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web process has few: the request's thread gives its own back before the call begins."""
    happened: list[Any] = []
    open_stream = calls.open_stream

    async def noted(*arguments: Any, **options: Any) -> Any:
        happened.append("opened")
        return await open_stream(*arguments, **options)

    def close() -> None:
        happened.append(get_ident())
        connections.close_all()

    monkeypatch.setattr(sending, "close_old_connections", close)
    monkeypatch.setattr(sending, "open_stream", noted)

    await sent.send()

    closing_in, opened = happened
    assert opened == "opened"
    assert closing_in != get_ident()


async def _settled() -> ModelCall:
    while True:
        row = await ModelCall.objects.aget()
        if row.settled_at is not None:
            return row
        await asyncio.sleep(0.01)
