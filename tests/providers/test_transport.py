"""The one way out, on real sockets: what is sent, what comes and what is kept for later."""

from __future__ import annotations

import asyncio
import gzip
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from providers.transport import (
    InboundAnswer,
    Limits,
    OutboundRequest,
    Transport,
)
from tests.providers.sending import (
    KEY,
    LIMITS,
    PATIENCE,
    answer,
    request_to,
)
from tests.providers.wire import Exchange, head, serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database


async def send(transport: Transport, base_url: str, **headers: str) -> InboundAnswer:
    return await transport.send(request_to(base_url, **headers), LIMITS)


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
