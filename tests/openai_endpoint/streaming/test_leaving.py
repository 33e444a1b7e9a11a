"""How a streamed answer ends before its end: a client that leaves, a server that stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
import pytest

from palyra_site.openai_endpoint import replies, streaming
from palyra_site.openai_endpoint.application import OpenAIEndpoint
from palyra_site.openai_endpoint.replies import Reply
from palyra_site.openai_endpoint.requests import ClientDisconnected, Request
from tests.openai_endpoint.streaming.patience import NO_CALL, within
from tests.openai_endpoint.streams import PATIENCE, ClayClient, LedStream, chunk, events

pytestmark = pytest.mark.usefixtures("opened")


async def test_a_client_that_leaves_in_mid_stream_closes_the_call_at_once(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    client.left.set()
    await within(led.closed.wait())
    await within(serving)
    assert "[DONE]" not in client.body
    assert "error" not in client.body


async def test_a_client_that_leaves_while_it_does_not_read_closes_the_call(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    client.takes.clear()
    led.put(chunk("more"))
    client.left.set()
    await within(led.closed.wait())
    await within(serving)


async def test_a_client_that_leaves_before_the_first_chunk_closes_the_call(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    await asyncio.sleep(0)
    client.left.set()
    await within(led.closed.wait())
    await within(serving)
    assert client.sent == []


async def test_a_client_that_leaves_while_the_call_is_opened_cancels_it(
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def open_stream(_call: Any, **_: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(streaming, "open_stream", open_stream)
    serving = asyncio.ensure_future(served())
    await within(begun.wait())
    client.left.set()
    await within(cancelled.wait())
    await within(serving)
    assert client.sent == []


async def test_a_server_that_raises_for_a_client_that_left_is_understood(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    async def broken(_message: Any) -> None:
        raise ConnectionResetError

    led.put(chunk("Hello"))
    with pytest.raises(ClientDisconnected):
        await within(streaming.respond(NO_CALL, client.request(), Reply(broken, "the-request")))
    assert led.closed.is_set()


async def test_a_call_that_cannot_be_closed_is_logged(
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise RuntimeError("it would not close")

    monkeypatch.setattr(led, "aclose", fail)
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    client.left.set()
    await within(serving)
    assert "it would not close" in caplog.text


async def test_a_server_that_stops_says_so_and_never_done(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    serving.cancel()
    await within(serving)
    _, last = events(client.body)
    assert orjson.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert client.ended
    assert led.closed.is_set()


async def test_a_server_that_stops_before_the_first_chunk_answers_503(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    await asyncio.sleep(0.01)
    serving.cancel()
    await within(serving)
    assert client.sent[0]["status"] == 503
    assert client.headers["x-should-retry"] == "false"
    assert led.closed.is_set()


async def test_a_stop_waits_for_broken_off_calls_but_not_for_ever(
    led: LedStream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, client = OpenAIEndpoint(cast(Any, None), body_limit=1), ClayClient()

    async def respond(_scope: Any, _receive: Any, reply: Reply) -> None:
        await streaming.respond(NO_CALL, client.request(), reply)

    async def close_slowly() -> None:
        await may_close.wait()
        led.closed.set()

    monkeypatch.setattr(endpoint, "_respond", respond)
    monkeypatch.setattr(led, "aclose", close_slowly)
    may_close = asyncio.Event()
    await within(endpoint.finish(PATIENCE))
    serving = asyncio.create_task(endpoint({}, client.receive, client.send))
    led.put(chunk("Hello"))
    await client.got("Hello")
    serving.cancel()
    await within(endpoint.finish(0.01))
    assert "1 requests have not ended" in caplog.text
    assert not led.closed.is_set()
    finishing = asyncio.create_task(endpoint.finish(PATIENCE))
    may_close.set()
    await within(finishing)
    assert led.closed.is_set()
    assert client.ended


async def test_a_client_that_takes_nothing_for_long_has_gone_away(
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "LONGEST_STALL", 0.05)
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    client.takes.clear()
    led.put(chunk("more"))
    await within(led.closed.wait())
    await within(serving)
    assert not client.ended


async def test_a_request_waits_for_nothing_but_its_clients_leaving() -> None:
    client = ClayClient()
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    request = Request("/", {}, cast(Any, None), cast(Any, None), receive, 1000)
    await within(request.gone())
    assert client.sent == []
