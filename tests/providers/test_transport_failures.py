"""Whatever can go wrong on the way out is a failure that says what it was."""

from __future__ import annotations

import asyncio
import gzip
import socket
from dataclasses import replace

import pytest

from providers.failures import FailureClass
from providers.transport import (
    Transport,
    TransportFailed,
)
from tests.providers.sending import (
    IMPATIENCE,
    LIMITS,
    PATIENCE,
    answer,
    failure_of,
    request_to,
    unused_port,
)
from tests.providers.wire import Behaviour, Exchange, head, serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database
SHORT = replace(LIMITS, total=IMPATIENCE)


async def hang(_exchange: Exchange) -> None:
    await asyncio.Event().wait()


class TestNothingWasSent:
    """Without a connection nothing was sent, so nothing can be billed."""

    async def test_nobody_listens(self, transport: Transport) -> None:
        failure = await failure_of(transport, f"http://127.0.0.1:{unused_port()}/v1")
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == "127.0.0.1 cannot be reached: connection refused."
        assert not failure.may_be_billed

    @pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "a" * 70 + ".com"])
    async def test_a_host_that_does_not_exist(self, transport: Transport, host: str) -> None:
        failure = await failure_of(transport, f"http://{host}/v1")
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == f"{host} cannot be reached: its name cannot be looked up."
        assert not failure.may_be_billed

    @pytest.mark.parametrize("total", [PATIENCE, IMPATIENCE])
    async def test_a_host_that_does_not_take_the_call(
        self, transport: Transport, total: float
    ) -> None:
        limits = replace(LIMITS, connect=IMPATIENCE, total=total)
        with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(listening.getsockname())
            address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
            failure = await failure_of(transport, address, limits)
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == "127.0.0.1 cannot be reached: it did not answer in time."
        assert not failure.may_be_billed

    async def test_a_name_that_takes_for_ever_to_look_up(
        self, transport: Transport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", lambda *_args, **_options: asyncio.sleep(PATIENCE))
        failure = await failure_of(transport, "http://slow.example/v1", SHORT)
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert not failure.may_be_billed

    @pytest.mark.parametrize(
        "credential", ["two\nlines", "a\r\nX-Other: header", "naïve–key", "\0"]
    )
    async def test_a_credential_no_header_can_carry(
        self, transport: Transport, credential: str
    ) -> None:
        async with serving(answer) as wire:
            for make in (transport.send, transport.open):
                request = request_to(wire.base_url, authorization=f"Bearer {credential}")
                with pytest.raises(TransportFailed) as caught:
                    await make(request, LIMITS)
                failure = caught.value.failure
                assert failure.failure_class is FailureClass.AUTH_INVALID
                assert credential not in failure.message
                assert not failure.may_be_billed
        assert wire.received == []

    @pytest.mark.parametrize(
        "address", ["http://exam\nple.com", "ftp://example.com", "file:///etc", "http:///v1", "x"]
    )
    async def test_an_address_that_is_none(self, transport: Transport, address: str) -> None:
        failure = await failure_of(transport, address)
        assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
        assert not failure.may_be_billed


async def test_an_answer_that_never_begins_may_be_billed(transport: Transport) -> None:
    async with serving(hang) as wire:
        failure = await failure_of(transport, wire.base_url, SHORT)
        assert len(wire.received) == 1
    assert failure.failure_class is FailureClass.PROVIDER_TIMEOUT
    assert failure.message == "127.0.0.1 did not answer within 0.2 seconds."
    assert failure.may_be_billed


async def test_an_answer_that_trickles_is_still_too_late(transport: Transport) -> None:
    async def trickle(exchange: Exchange) -> None:
        await exchange.send(head(200, 10_000))
        while True:
            await exchange.send(b" ")
            await asyncio.sleep(IMPATIENCE / 10)

    async with serving(trickle) as wire:
        failure = await failure_of(transport, wire.base_url, SHORT)
    assert failure.failure_class is FailureClass.PROVIDER_TIMEOUT
    assert failure.may_be_billed


async def hang_up_at_once(exchange: Exchange) -> None:
    exchange.hang_up()


async def hang_up_in_the_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
    exchange.hang_up()


async def hang_up_in_the_body(exchange: Exchange) -> None:
    await exchange.send(head(200, 100) + b'{"choices": [')
    exchange.hang_up()


async def end_in_the_body(exchange: Exchange) -> None:
    await exchange.send(head(200, 100) + b'{"choices": [')
    exchange.writer.close()


async def end_between_pieces(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.piece(b'{"choices": []}')
    exchange.writer.close()


@pytest.mark.parametrize(
    "behaviour",
    [
        hang_up_at_once,
        hang_up_in_the_head,
        hang_up_in_the_body,
        end_in_the_body,
        end_between_pieces,
    ],
)
async def test_a_broken_answer_may_be_billed(transport: Transport, behaviour: Behaviour) -> None:
    async with serving(behaviour) as wire:
        failure = await failure_of(transport, wire.base_url)
        assert len(wire.received) == 1
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == "The connection to 127.0.0.1 broke before the answer was complete."
    assert failure.may_be_billed


async def speak_nonsense(exchange: Exchange) -> None:
    await exchange.send(b"\x00\x01\x02 this is no HTTP\r\n\r\n")


async def pack_nonsense(exchange: Exchange) -> None:
    await exchange.answer(200, b"this is not packed", content_encoding="gzip")


async def pack_unasked(exchange: Exchange) -> None:
    await exchange.answer(200, b"{}", content_encoding="br")


async def pack_half(exchange: Exchange) -> None:
    await exchange.answer(200, gzip.compress(b'{"a": 1}' * 99)[:-9], content_encoding="gzip")


async def endless_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1024**2)
    await exchange.gone()


@pytest.mark.parametrize(
    "behaviour", [speak_nonsense, pack_nonsense, pack_unasked, pack_half, endless_head]
)
async def test_an_answer_that_cannot_be_read_may_be_billed(
    transport: Transport, behaviour: Behaviour
) -> None:
    async with serving(behaviour) as wire:
        failure = await failure_of(transport, wire.base_url)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.message == "What 127.0.0.1 answered cannot be read."
    assert failure.may_be_billed


@pytest.mark.parametrize("kind", ["said", "in pieces", "packed"])
async def test_an_answer_too_large_is_not_read_to_its_end(transport: Transport, kind: str) -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        content = b"x" * 1024**2
        if kind == "packed":
            packed = gzip.compress(content * 100, 1)
            await exchange.answer(200, packed, content_encoding="gzip")
        elif kind == "said":
            await exchange.send(head(200, 100 * len(content)) + content)
        else:
            await exchange.begin()
            for _ in range(100):
                await exchange.piece(content)
                sent += 1
        await exchange.gone()

    async with serving(flood) as wire:
        failure = await failure_of(transport, wire.base_url)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.message == "The answer of 127.0.0.1 is larger than 32 MiB."
    assert failure.may_be_billed
    assert sent < 60
