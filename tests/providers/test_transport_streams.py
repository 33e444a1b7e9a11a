"""Streams on real sockets: each event at once, and every way of breaking off says what it was."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace

import pytest

from providers.failures import FailureClass
from providers.sse import ServerSentEvent
from providers.transport import InboundStream, Transport, TransportFailed
from tests.providers.sending import (
    IMPATIENCE,
    LIMITS,
    PATIENCE,
    failure_of,
    failure_of_stream,
    request_to,
    shown,
    unused_port,
)
from tests.providers.wire import Behaviour, Exchange, serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database
ONE, TWO = ServerSentEvent("", "one"), ServerSentEvent("ping", "two")
WIRE_ONE, WIRE_TWO = b"data: one\n\n", b"event: ping\ndata: two\n\n"


async def events_of(stream: InboundStream) -> list[ServerSentEvent]:
    try:
        return [event async for event in stream.events()]
    finally:
        await stream.aclose()


async def stream_both(exchange: Exchange) -> None:
    await exchange.begin(X_Request_Id="seven")
    await exchange.piece(WIRE_ONE + WIRE_TWO[:9])
    await exchange.piece(WIRE_TWO[9:])
    await exchange.end()


async def test_events_are_what_the_host_sent(transport: Transport) -> None:
    async with serving(stream_both) as wire:
        for _ in range(2):
            stream = await transport.open(request_to(wire.base_url), LIMITS)
            assert (stream.status, stream.headers["x-request-id"]) == (200, "seven")
            assert await events_of(stream) == [ONE, TWO]
            await stream.aclose()
    first, second = wire.received
    assert first.header("accept-encoding") == "identity"
    assert first.writer is second.writer, "a stream read to its end leaves its connection"


async def test_an_event_is_there_before_the_next_is_sent(transport: Transport) -> None:
    seen = asyncio.Event()

    async def wait_between(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(WIRE_ONE)
        await seen.wait()
        await exchange.piece(WIRE_TWO)
        await exchange.end()

    async with serving(wait_between) as wire:
        stream = await transport.open(request_to(wire.base_url), LIMITS)
        events = stream.events()
        assert await anext(events) == ONE
        seen.set()
        assert [event async for event in events] == [TWO]
        await stream.aclose()


@pytest.mark.parametrize("length", [None, "gzip", "close"])
async def test_an_end_without_a_blank_line_is_an_end(transport: Transport, length: str) -> None:
    content = WIRE_ONE + b"event: ping\ndata: two"

    async def end_early(exchange: Exchange) -> None:
        if length == "gzip":
            await exchange.answer(200, gzip.compress(content), content_encoding="gzip")
        elif length == "close":
            await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + content)
            exchange.writer.close()
        else:
            await exchange.answer(200, content)

    async with serving(end_early) as wire:
        stream = await transport.open(request_to(wire.base_url), LIMITS)
        assert await events_of(stream) == [ONE, TWO]


async def test_an_error_is_read_whole(transport: Transport) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(
            429, gzip.compress(b'{"error": {}}'), Retry_After="7", content_encoding="gzip"
        )

    async with serving(refuse) as wire:
        stream = await transport.open(request_to(wire.base_url), LIMITS)
        assert stream.status == 429
        found = await stream.read()
        await stream.aclose()
    assert (found.status, found.json, found.content) == (429, {"error": {}}, b'{"error": {}}')
    assert found.headers["retry-after"] == "7"


class TestBrokenOff:
    """What was there comes out first, then the failure; never a clean end."""

    @pytest.mark.parametrize("rest", [b"", b"event: ping\nda", b"data: half", b"data: half\n"])
    @pytest.mark.parametrize("how", [Exchange.hang_up, lambda exchange: exchange.writer.close()])
    async def test_in_mid_stream(
        self, transport: Transport, rest: bytes, how: Callable[[Exchange], None]
    ) -> None:
        async def break_off(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(WIRE_ONE)
            if rest:
                await exchange.piece(rest)
            await taken.wait()
            how(exchange)

        taken = asyncio.Event()
        async with serving(break_off) as wire:
            stream = await transport.open(request_to(wire.base_url), LIMITS)
            events = stream.events()
            assert await anext(events) == ONE
            taken.set()
            with pytest.raises(TransportFailed) as caught:
                await anext(events)
            await stream.aclose()
        failure = shown(caught.value)
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message.startswith("The connection to 127.0.0.1 broke")
        assert failure.may_be_billed

    async def test_before_the_head(self, transport: Transport) -> None:
        async def hang_up(exchange: Exchange) -> None:
            exchange.hang_up()

        async with serving(hang_up) as wire:
            events, failure = await failure_of_stream(transport, wire.base_url)
        assert events == []
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.may_be_billed

    async def test_without_a_connection(self, transport: Transport) -> None:
        address = f"http://127.0.0.1:{unused_port()}/v1"
        events, failure = await failure_of_stream(transport, address)
        assert events == []
        assert failure == await failure_of(transport, address)
        assert not failure.may_be_billed

    async def test_in_the_body_of_an_error(self, transport: Transport) -> None:
        async def break_off(exchange: Exchange) -> None:
            await exchange.begin(500)
            await exchange.piece(b'{"error"')
            exchange.writer.close()

        async with serving(break_off) as wire:
            stream = await transport.open(request_to(wire.base_url), LIMITS)
            with pytest.raises(TransportFailed) as caught:
                await stream.read()
            await stream.aclose()
        assert shown(caught.value).failure_class is FailureClass.NETWORK_UNAVAILABLE

    @pytest.mark.parametrize("content", [WIRE_ONE, gzip.compress(WIRE_ONE)[:-6]])
    async def test_packed_wrongly(self, transport: Transport, content: bytes) -> None:
        async def behave(exchange: Exchange) -> None:
            await exchange.begin(content_encoding="gzip")
            await exchange.piece(content)
            await exchange.end()

        async with serving(behave) as wire:
            _, failure = await failure_of_stream(transport, wire.base_url)
        assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
        assert failure.may_be_billed


async def no_head(exchange: Exchange) -> None:
    await exchange.gone()


async def no_event(exchange: Exchange) -> None:
    await exchange.begin()
    while True:  # what keeps a connection alive is no answer
        await exchange.piece(b": processing\n\n")
        await asyncio.sleep(IMPATIENCE / 10)


async def half_an_event(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.piece(b"data: on")
    await exchange.gone()


async def one_event(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.piece(WIRE_ONE)
    await exchange.gone()


async def events_for_ever(exchange: Exchange) -> None:
    await exchange.begin()
    while True:
        await exchange.piece(WIRE_ONE)
        await asyncio.sleep(IMPATIENCE / 10)


class TestTooSlow:
    """A stream must begin in time, and end in time."""

    @pytest.mark.parametrize("behaviour", [no_head, no_event, half_an_event])
    @pytest.mark.parametrize("bounds", [(IMPATIENCE, PATIENCE), (PATIENCE, IMPATIENCE)])
    async def test_to_begin(
        self, transport: Transport, behaviour: Behaviour, bounds: tuple[float, float]
    ) -> None:
        limits = replace(LIMITS, first_byte=bounds[0], total=bounds[1])
        async with serving(behaviour) as wire:
            events, failure = await failure_of_stream(transport, wire.base_url, limits)
        assert events == []
        assert failure.failure_class is FailureClass.PROVIDER_TIMEOUT
        assert failure.message == "127.0.0.1 did not begin to answer within 0.2 seconds."
        assert failure.may_be_billed

    @pytest.mark.parametrize("behaviour", [one_event, events_for_ever])
    async def test_to_end(self, transport: Transport, behaviour: Behaviour) -> None:
        limits = replace(LIMITS, first_byte=PATIENCE, total=IMPATIENCE)
        async with serving(behaviour) as wire:
            events, failure = await failure_of_stream(transport, wire.base_url, limits)
        assert events[0] == ONE
        assert failure.failure_class is FailureClass.PROVIDER_TIMEOUT
        assert failure.message == "127.0.0.1 did not finish its answer within 0.2 seconds."
        assert failure.may_be_billed

    async def test_to_go_on_but_begun_in_time(self, transport: Transport) -> None:
        """The first event's limit is over with the first event."""
        go_on = asyncio.Event()

        async def pause(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(WIRE_ONE)
            await go_on.wait()
            await exchange.piece(WIRE_TWO)
            await exchange.end()

        limits = replace(LIMITS, first_byte=IMPATIENCE)
        async with serving(pause) as wire:
            stream = await transport.open(request_to(wire.base_url), limits)
            asyncio.get_running_loop().call_later(2 * IMPATIENCE, go_on.set)
            assert await events_of(stream) == [ONE, TWO]

    async def test_a_slow_reader_is_not_the_hosts_fault(self, transport: Transport) -> None:
        taken = asyncio.Event()

        async def go_on_at_once(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.piece(WIRE_ONE)
            await taken.wait()
            await exchange.piece(WIRE_TWO)
            await exchange.end()

        limits = replace(LIMITS, total=1.0)
        async with serving(go_on_at_once) as wire:
            stream = await transport.open(request_to(wire.base_url), limits)
            events = stream.events()
            await anext(events)
            stream._given_at -= 0.9  # as long as it took the reader
            stream._sent_at -= 0.9
            asyncio.get_running_loop().call_later(2 * IMPATIENCE, taken.set)
            assert [event async for event in events] == [TWO]
            await stream.aclose()

    async def test_a_reader_that_takes_as_long_again_is_at_fault(
        self, transport: Transport
    ) -> None:
        async with serving(one_event) as wire:
            stream = await transport.open(request_to(wire.base_url), LIMITS)
            events = stream.events()
            await anext(events)
            stream._given_at -= PATIENCE + 1
            with pytest.raises(TransportFailed) as caught:
                await anext(events)
            failure = shown(caught.value)
        assert failure.failure_class is FailureClass.PROVIDER_TIMEOUT
        assert (failure.callers_fault, failure.counts, failure.retryable) == (True, False, False)
        assert failure.may_be_billed

    async def test_an_error_body(self, transport: Transport) -> None:
        async def refuse_slowly(exchange: Exchange) -> None:
            await exchange.begin(500)
            await exchange.gone()

        async with serving(refuse_slowly) as wire:
            limits = replace(LIMITS, total=IMPATIENCE)
            stream = await transport.open(request_to(wire.base_url), limits)
            with pytest.raises(TransportFailed) as caught:
                await stream.read()
            await stream.aclose()
        assert shown(caught.value).failure_class is FailureClass.PROVIDER_TIMEOUT


class TestTooLarge:
    """Neither an event nor a stream is kept without bound."""

    @pytest.mark.parametrize(
        ("begin", "piece", "words"),
        [
            (b"data: ", b"x" * 1024**2, "One event of 127.0.0.1's answer is larger than 16 MiB."),
            (b"", b"data: x\n" * 2**17, "One event of 127.0.0.1's answer is larger than 16 MiB."),
            (b"", (b"data: " + b"x" * 2**20 + b"\n\n"), "The answer of 127.0.0.1 is larger than"),
            (b"", b": nothing\n" * 2**17, "The answer of 127.0.0.1 is larger than 32 MiB."),
        ],
    )
    async def test_it_is_given_up(
        self, transport: Transport, begin: bytes, piece: bytes, words: str
    ) -> None:
        gone = asyncio.Event()

        async def flood(exchange: Exchange) -> None:
            try:
                await exchange.begin()
                await exchange.piece(WIRE_ONE + begin)
                while True:
                    await exchange.piece(piece)
            finally:
                gone.set()

        async with serving(flood) as wire:
            events, failure = await failure_of_stream(transport, wire.base_url)
            async with asyncio.timeout(PATIENCE):
                await gone.wait()
        assert events[0] == ONE
        assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
        assert failure.message.startswith(words)
        assert failure.may_be_billed

    async def test_a_bomb(self, transport: Transport) -> None:
        async def bomb(exchange: Exchange) -> None:
            await exchange.begin(content_encoding="gzip")
            await exchange.piece(gzip.compress(WIRE_ONE + bytes(256 * 1024**2), 1))
            await exchange.end()

        async with serving(bomb) as wire:
            _, failure = await failure_of_stream(transport, wire.base_url)
        assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
