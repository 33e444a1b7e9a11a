"""The one way out, on real sockets: whatever can go wrong is a failure that says what it was."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from providers import transport as transport_module
from providers.failures import Failure, FailureClass
from providers.transport import InboundAnswer, OutboundRequest, Transport, TransportFailed
from tests.providers.wire import Behaviour, Exchange, head, serving

KEY = "sk-never-to-be-seen"
PATIENCE = 30.0
IMPATIENCE = 0.2


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.close()


def request_to(base_url: str, **headers: str) -> OutboundRequest:
    sent = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **headers}
    return OutboundRequest(f"{base_url}/chat/completions", sent, b'{"model": "m"}')


async def post(
    transport: Transport,
    base_url: str,
    *,
    total_timeout: float = PATIENCE,
    connect_timeout: float = PATIENCE,
    **headers: str,
) -> InboundAnswer:
    return await transport.post(
        request_to(base_url, **headers),
        connect_timeout=connect_timeout,
        total_timeout=total_timeout,
    )


async def failure_of(transport: Transport, base_url: str, **options: float) -> Failure:
    with pytest.raises(TransportFailed) as caught:
        await post(transport, base_url, **options)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    assert KEY not in repr(caught.value) + repr(caught.value.failure)
    return caught.value.failure


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


async def answer(exchange: Exchange) -> None:
    await exchange.answer(200, {"fine": True})


async def hang(_exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def test_an_answer_is_its_status_and_its_json(transport: Transport) -> None:
    async with serving(answer) as wire:
        assert await post(transport, wire.base_url) == InboundAnswer(200, {"fine": True})
    (exchange,) = wire.received
    assert exchange.head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert exchange.body == b'{"model": "m"}'
    assert exchange.header("authorization") == f"Bearer {KEY}"


async def test_an_error_status_is_an_answer_and_no_json_is_none(transport: Transport) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(502, b"<html>Bad gateway</html>")

    async with serving(refuse) as wire:
        assert await post(transport, wire.base_url) == InboundAnswer(502, None)


async def test_nobody_listens(transport: Transport) -> None:
    failure = await failure_of(transport, f"http://127.0.0.1:{unused_port()}/v1")
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == "127.0.0.1 cannot be reached."
    assert not failure.may_be_billed


async def test_a_host_that_does_not_exist(transport: Transport) -> None:
    failure = await failure_of(transport, "http://nobody.invalid/v1")
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == "nobody.invalid cannot be reached."
    assert not failure.may_be_billed


async def test_a_host_that_does_not_take_the_call(transport: Transport) -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        failure = await failure_of(transport, address, connect_timeout=IMPATIENCE)
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert not failure.may_be_billed


async def test_a_server_that_does_not_speak_tls(transport: Transport) -> None:
    async with serving(answer) as wire:
        address = f"https://127.0.0.1:{wire.port}/v1"
        failure = await failure_of(transport, address, connect_timeout=IMPATIENCE)
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert not failure.may_be_billed
    assert wire.received == []


async def test_a_server_that_cannot_be_trusted(transport: Transport, tmp_path: Path) -> None:
    async with serving(answer, self_signed(tmp_path)) as wire:
        failure = await failure_of(transport, f"https://127.0.0.1:{wire.port}/v1")
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == "127.0.0.1 has no certificate that is trusted here."
    assert not failure.may_be_billed
    assert wire.received == []


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    both = directory / "both.pem"
    both.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


async def test_an_answer_that_never_begins_may_be_billed(transport: Transport) -> None:
    async with serving(hang) as wire:
        failure = await failure_of(transport, wire.base_url, total_timeout=IMPATIENCE)
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
        failure = await failure_of(transport, wire.base_url, total_timeout=IMPATIENCE)
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


async def speak_nonsense(exchange: Exchange) -> None:
    await exchange.send(b"\x00\x01\x02 this is no HTTP\r\n\r\n")


async def pack_nonsense(exchange: Exchange) -> None:
    await exchange.answer(200, b"this is not packed", content_encoding="gzip")


@pytest.mark.parametrize(
    "behaviour",
    [
        hang_up_at_once,
        hang_up_in_the_head,
        hang_up_in_the_body,
        end_in_the_body,
        speak_nonsense,
        pack_nonsense,
    ],
)
async def test_a_broken_answer_may_be_billed(transport: Transport, behaviour: Behaviour) -> None:
    async with serving(behaviour) as wire:
        failure = await failure_of(transport, wire.base_url)
        assert len(wire.received) == 1
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == "The connection to 127.0.0.1 broke before the answer was complete."
    assert failure.may_be_billed


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_too_large_is_not_read_to_its_end(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(transport_module, "MAX_RESPONSE_BYTES", 1024**2)

    async def flood(exchange: Exchange) -> None:
        content = b"x" * (8 * 1024**2)
        if packed:
            await exchange.answer(200, gzip.compress(content), content_encoding="gzip")
        else:
            await exchange.answer(200, content)

    async with serving(flood) as wire:
        failure = await failure_of(transport, wire.base_url)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.message == "The answer is larger than 1 MiB."
    assert failure.may_be_billed


async def test_a_packed_answer_is_unpacked(transport: Transport) -> None:
    async def pack(exchange: Exchange) -> None:
        await exchange.answer(200, gzip.compress(b'{"fine": true}'), content_encoding="gzip")

    async with serving(pack) as wire:
        assert (await post(transport, wire.base_url)).json == {"fine": True}


async def test_redirects_are_not_followed(transport: Transport) -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.answer(307, {}, location="/v1/elsewhere")

    async with serving(redirect) as wire:
        assert (await post(transport, wire.base_url)).status == 307
    assert len(wire.received) == 1


async def test_proxies_and_certificates_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    transport = Transport()
    try:
        async with serving(answer) as wire:
            assert (await post(transport, wire.base_url)).status == 200
    finally:
        await transport.close()


async def test_a_cookie_given_to_one_credential_is_not_shown_by_another(
    transport: Transport,
) -> None:
    async def mark(exchange: Exchange) -> None:
        await exchange.answer(200, {}, set_cookie="session=of-the-first; Path=/")

    async with serving(mark) as wire:
        for base_url in (wire.base_url, f"http://localhost:{wire.port}/v1"):
            await post(transport, base_url)
            await post(transport, base_url)
    assert [exchange.header("cookie") for exchange in wire.received] == [None] * 4


async def test_connections_are_kept_for_the_next_call(transport: Transport) -> None:
    async with serving(answer) as wire:
        for _ in range(3):
            await post(transport, wire.base_url)
    assert len({id(exchange.writer) for exchange in wire.received}) == 1


async def test_calls_do_not_wait_for_one_another(transport: Transport) -> None:
    everyone = asyncio.Barrier(20)

    async def answer_together(exchange: Exchange) -> None:
        await everyone.wait()
        await answer(exchange)

    async with serving(answer_together) as wire:
        answers = await asyncio.gather(*(post(transport, wire.base_url) for _ in range(20)))
    assert {found.status for found in answers} == {200}


@pytest.mark.parametrize("credential", ["two\nlines", "a\r\nX-Other: header", "naïve–key", "\x00"])
async def test_a_credential_no_header_can_carry_is_not_sent(
    transport: Transport, credential: str
) -> None:
    async with serving(answer) as wire:
        with pytest.raises(TransportFailed) as caught:
            await post(transport, wire.base_url, authorization=f"Bearer {credential}")
    failure = caught.value.failure
    assert failure.failure_class is FailureClass.AUTH_INVALID
    assert credential not in failure.message
    assert not failure.may_be_billed
    assert wire.received == []


async def test_an_address_that_is_none_is_a_failure_too(transport: Transport) -> None:
    failure = await failure_of(transport, "http://exam\nple.com/v1")
    assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
    assert not failure.may_be_billed


async def test_a_call_that_is_cancelled_lets_go_of_its_connection(transport: Transport) -> None:
    arrived = asyncio.Event()
    gone = asyncio.Event()

    async def wait_for_the_end(exchange: Exchange) -> None:
        arrived.set()
        assert await exchange.reader.read() == b""
        gone.set()

    async with serving(wait_for_the_end) as wire:
        task = asyncio.create_task(post(transport, wire.base_url))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE):
            await gone.wait()


def test_a_request_does_not_print_what_it_carries() -> None:
    assert KEY not in repr(request_to("http://127.0.0.1/v1"))
