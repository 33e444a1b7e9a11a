"""The one way out, on real sockets: whatever can go wrong is a failure that says what it was."""

from __future__ import annotations

import asyncio
import gzip
import socket
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from providers.failures import FailureClass
from providers.transport import (
    InboundAnswer,
    Limits,
    OutboundRequest,
    Transport,
    TransportFailed,
)
from tests.providers.sending import (
    IMPATIENCE,
    KEY,
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


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.close()


async def send(transport: Transport, base_url: str, **headers: str) -> InboundAnswer:
    return await transport.send(request_to(base_url, **headers), LIMITS)


async def hang(_exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def test_an_answer_is_its_status_its_json_and_its_headers(transport: Transport) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"fine": true}', X_Request_Id="seven", Odd="na\xefve")

    async with serving(behave) as wire:
        found = await send(transport, wire.base_url)
    assert (found.status, found.json, found.content) == (200, {"fine": True}, b'{"fine": true}')
    assert found.headers["x-request-id"] == "seven"
    assert found.headers["odd"].isprintable()
    (exchange,) = wire.received
    assert exchange.head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert exchange.body == b'{"model": "m"}'
    assert exchange.header("authorization") == f"Bearer {KEY}"
    assert exchange.header("host") == f"127.0.0.1:{wire.port}"
    assert exchange.header("user-agent") == "Palyra"
    assert exchange.header("accept-encoding") == "gzip"


async def test_a_request_without_a_body(transport: Transport) -> None:
    async with serving(answer) as wire:
        request = OutboundRequest(f"{wire.base_url}/models", {"accept": "x/y"}, method="GET")
        assert (await transport.send(request, LIMITS)).status == 200
    (exchange,) = wire.received
    assert exchange.head.startswith("GET /v1/models HTTP/1.1\r\n")
    assert exchange.header("accept") == "x/y"
    assert exchange.header("content-type") is None


async def test_an_error_status_is_an_answer_and_no_json_is_none(transport: Transport) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(502, b"<html>Bad gateway</html>")

    async with serving(refuse) as wire:
        found = await send(transport, wire.base_url)
    assert (found.status, found.json) == (502, None)
    assert found.content == b"<html>Bad gateway</html>"


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


async def test_a_packed_answer_is_unpacked(transport: Transport) -> None:
    async def pack(exchange: Exchange) -> None:
        await exchange.answer(200, gzip.compress(b'{"fine": true}'), content_encoding="gzip")

    async with serving(pack) as wire:
        found = await send(transport, wire.base_url)
    assert (found.json, found.content) == ({"fine": True}, b'{"fine": true}')


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1, 25 * 1024**2])
async def test_a_large_request_arrives_whole(transport: Transport, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with serving(answer) as wire:
        request = replace(request_to(wire.base_url), body=body)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Sending a large body")
            assert (await transport.send(request, LIMITS)).status == 200
            assert (await transport.send(request, LIMITS)).status == 200
    first, second = wire.received
    assert first.body == second.body == body
    assert first.header("content-length") == str(size)
    assert first.header("transfer-encoding") is None
    assert first.writer is second.writer


async def test_an_answer_before_the_request_was_read_is_an_answer(transport: Transport) -> None:
    """And the connection, on which the rest of the request is missing, is not used again."""
    connections = 0

    async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(413, 2) + b"{}")
        while await reader.read(65536):
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(refuse_early, "127.0.0.1", 0)
    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for _ in range(2):
            request = replace(request_to(address), body=bytes(25 * 1024**2))
            assert (await transport.send(request, LIMITS)).status == 413
    assert connections == 2


async def test_redirects_are_not_followed(transport: Transport) -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.answer(307, {}, location="/v1/elsewhere")

    async with serving(redirect) as wire:
        assert (await send(transport, wire.base_url)).status == 307
    assert len(wire.received) == 1


async def test_a_cookie_given_to_one_credential_is_not_shown_by_another(
    transport: Transport,
) -> None:
    async def mark(exchange: Exchange) -> None:
        await exchange.answer(200, {}, set_cookie="session=of-the-first; Path=/")

    async with serving(mark) as wire:
        for base_url in (wire.base_url, f"http://localhost:{wire.port}/v1"):
            await send(transport, base_url)
            await send(transport, base_url)
    assert [exchange.header("cookie") for exchange in wire.received] == [None] * 4


async def test_a_password_file_of_the_machine_is_not_read(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(answer) as wire:
        await transport.send(OutboundRequest(wire.base_url, {}, b"{}"), LIMITS)
    assert wire.received[0].header("authorization") is None


async def test_connections_are_kept_for_the_next_call(transport: Transport) -> None:
    async with serving(answer) as wire:
        for _ in range(3):
            await send(transport, wire.base_url)
    assert len({id(exchange.writer) for exchange in wire.received}) == 1


async def test_a_connection_the_host_has_closed_is_not_used_again(transport: Transport) -> None:
    async def answer_once(exchange: Exchange) -> None:
        await exchange.answer(200, {})
        exchange.writer.close()
        await exchange.writer.wait_closed()

    async with serving(answer_once) as wire:
        for _ in range(3):
            assert (await send(transport, wire.base_url)).status == 200
            await asyncio.sleep(0.05)  # for the end to arrive
    assert len(wire.received) == 3


async def test_calls_do_not_wait_for_one_another(transport: Transport) -> None:
    everyone = asyncio.Barrier(150)

    async def answer_together(exchange: Exchange) -> None:
        await everyone.wait()
        await answer(exchange)

    async with serving(answer_together) as wire:
        answers = await asyncio.gather(*(send(transport, wire.base_url) for _ in range(150)))
    assert {found.status for found in answers} == {200}


async def test_a_call_that_is_cancelled_lets_go_of_its_connection(transport: Transport) -> None:
    arrived = asyncio.Event()
    gone = asyncio.Event()

    async def wait_for_the_end(exchange: Exchange) -> None:
        arrived.set()
        assert await exchange.reader.read() == b""
        gone.set()

    async with serving(wait_for_the_end) as wire:
        task = asyncio.create_task(send(transport, wire.base_url))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE):
            await gone.wait()


def test_a_request_does_not_print_what_it_carries() -> None:
    assert KEY not in repr(request_to("http://127.0.0.1/v1"))


def test_a_stream_must_begin_and_a_whole_answer_need_not() -> None:
    limits = Limits(connect=1, total=60, first_byte=30)
    assert limits.begin == 30
    assert replace(limits, total=20).begin == 20
    assert replace(limits, first_byte=None).begin == 60
