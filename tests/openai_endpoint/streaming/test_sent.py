"""A streamed answer: what is sent and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest

from governance.budgets import BudgetEvaluation
from governance.errors import BudgetBlocked, CallError, ProviderFailed
from palyra_site.openai_endpoint import replies, streaming
from tests.openai_endpoint.streaming.patience import within
from tests.openai_endpoint.streams import CALL_ID, ClayClient, LedStream, chunk, events

pytestmark = pytest.mark.usefixtures("opened")


async def test_a_stream_is_its_chunks_and_done(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    led.put(chunk("Hello"), chunk(" you,\n“ü”"), None)
    await within(served())
    *chunks, done = events(client.body)
    assert [orjson.loads(one.removeprefix("data: ")) for one in chunks] == [
        chunk("Hello"),
        chunk(" you,\n“ü”"),
    ]
    assert done == "data: [DONE]"
    assert client.sent[0]["status"] == 200
    assert client.ended
    assert led.closed.is_set()


async def test_its_head_says_what_is_known_by_then(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    led.cached, led.cacheable, led.attempts = True, True, 3
    led.put(None)
    await within(served())
    headers = client.headers
    assert headers.pop("x-request-id")
    assert headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-palyra-call-id": str(CALL_ID),
        "x-palyra-model": "here/nice",
        "x-palyra-attempts": "3",
        "x-palyra-cache": "hit",
    }


async def test_what_it_cost_is_a_comment_before_the_end(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    led.cost = 42_000
    led.put(chunk("Hello"), None)
    await within(served())
    _, comment, done = events(client.body)
    name, _, cost = comment.partition(": x-palyra-cost: ")
    assert (name, Decimal(cost)) == ("", Decimal("0.000042"))
    assert done == "data: [DONE]"


async def test_nothing_is_sent_before_the_first_chunk(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    await asyncio.sleep(0.01)
    assert client.sent == []
    led.put(chunk("Hello"))
    await client.got("Hello")
    led.put(chunk("more"))
    await client.got("more")
    led.put(None)
    await within(serving)


@pytest.mark.parametrize("when", ["opening", "the first chunk"])
async def test_what_fails_before_the_first_byte_has_a_status_of_its_own(
    when: str,
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = BudgetBlocked("No.", call_id=CALL_ID)

    async def open_stream(_call: Any, **_: Any) -> LedStream:
        if when == "opening":
            raise refused
        return led

    monkeypatch.setattr(streaming, "open_stream", open_stream)
    led.put(refused)
    await within(served())
    assert client.sent[0]["status"] == 402
    assert client.headers["content-type"] == "application/json"
    assert client.headers["x-should-retry"] == "false"
    assert orjson.loads(client.body)["error"]["code"] == "budget_exceeded"
    assert led.closed.is_set() == (when != "opening")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ProviderFailed("It broke off.", call_id=CALL_ID, detail={"provider": "here"}),
            ("provider_error", "provider_failed"),
        ),
        (RuntimeError("a secret detail"), ("server_error", "internal_error")),
    ],
)
async def test_what_fails_later_is_an_event_and_never_done(
    error: Exception,
    expected: tuple[str, str],
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
) -> None:
    led.put(chunk("Hello"), error)
    await within(served())
    _, last = events(client.body)
    said = orjson.loads(last.removeprefix("data: "))["error"]
    assert {"message", "type", "param", "code"} <= set(said)
    assert (said["type"], said["code"]) == expected
    if isinstance(error, CallError):
        assert (said["call_id"], said["provider"]) == (str(CALL_ID), "here")
    assert "[DONE]" not in client.body
    assert "secret" not in client.body
    assert client.ended
    assert led.closed.is_set()


async def test_a_slow_client_slows_the_provider_down(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await client.got("Hello")
    client.takes.clear()
    led.put(*[chunk(str(number)) for number in range(10)], None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert led.next.qsize() == 10
    client.takes.set()
    await within(serving)
    assert len(events(client.body)) == 12


async def test_while_nothing_comes_the_connection_is_kept_alive(
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (streaming, replies):
        monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.02)
    serving = asyncio.ensure_future(served())
    await asyncio.sleep(0.1)
    assert client.sent == []
    led.put(chunk("Hello"))
    await client.got(": keep-alive\n\n: keep-alive\n\n")
    led.put(chunk("more"), None)
    await within(serving)
    said = events(client.body)
    assert said.popleft().endswith('"Hello"},"finish_reason":null}]}')
    assert said.pop() == "data: [DONE]"
    assert "more" in said.pop()
    assert set(said) == {": keep-alive"}


async def test_a_client_that_takes_nothing_is_sent_no_comments(
    led: LedStream,
    client: ClayClient,
    served: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (streaming, replies):
        monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.01)
    client.takes.clear()
    serving = asyncio.ensure_future(served())
    led.put(chunk("Hello"))
    await asyncio.sleep(0.05)
    client.takes.set()
    led.put(None)
    await within(serving)
    assert "keep-alive" not in client.body


async def test_the_budget_with_least_left_is_in_the_head(
    led: LedStream, client: ClayClient, served: Callable[[], Awaitable[None]]
) -> None:
    led.tightest = cast(BudgetEvaluation, _Tightest())
    led.put(None)
    await within(served())
    assert client.headers["x-palyra-budget-remaining"] == "7; requests"


class _Tightest:
    metric = "requests"
    remaining = 7
