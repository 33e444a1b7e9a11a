"""Proxies of the environment: off unless set, and no way around the rule of addresses."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from providers.failures import FailureClass
from providers.transport import Transport
from tests.providers.sending import (
    KEY,
    LIMITS,
    PUBLIC_ONLY,
    answer,
    certificate,
    failure_of,
    failure_of_stream,
    request_to,
    unused_port,
)
from tests.providers.wire import Exchange, Wire, serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Wire]:
    """A proxy that answers for every host, and connects nowhere."""
    async with serving(answer) as wire:
        yield wire


@contextlib.asynccontextmanager
async def through_proxies(**options: str) -> AsyncIterator[Transport]:
    transport = Transport(environment_proxies=True, **options)
    try:
        yield transport
    finally:
        await transport.close()


def address_of(wire: Wire, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{wire.port}"


async def test_they_are_off_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    transport = Transport()
    try:
        async with serving(answer) as wire:
            assert (await transport.send(request_to(wire.base_url), LIMITS)).status == 200
    finally:
        await transport.close()


async def test_the_setting_turns_them_on(
    monkeypatch: pytest.MonkeyPatch, proxy: Wire, settings: object
) -> None:
    settings.PALYRA_ENVIRONMENT_PROXIES = True  # type: ignore[attr-defined]
    monkeypatch.setenv("HTTP_PROXY", address_of(proxy))
    transport = Transport()
    try:
        await transport.send(request_to("http://api.example/v1"), PUBLIC_ONLY)
    finally:
        await transport.close()
    assert len(proxy.received) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_provider_is_reached_through_the_proxy_at_a_private_address(
    monkeypatch: pytest.MonkeyPatch, proxy: Wire, name: str
) -> None:
    monkeypatch.setenv(name, address_of(proxy))
    async with through_proxies() as transport:
        found = await transport.send(request_to("http://api.example/v1"), PUBLIC_ONLY)
        stream = await transport.open(request_to("http://api.example/v1"), PUBLIC_ONLY)
        assert (await stream.read()).json == found.json == {"fine": True}
        await stream.aclose()
    first, second = proxy.received
    assert first.head.startswith("POST http://api.example/v1/chat/completions HTTP/1.1\r\n")
    assert first.header("host") == second.header("host") == "api.example"
    assert first.header("proxy-authorization") is None


async def test_a_proxy_without_a_scheme_and_with_a_password(
    monkeypatch: pytest.MonkeyPatch, proxy: Wire
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address_of(proxy, "me:hunter2@").removeprefix("http://"))
    async with through_proxies() as transport:
        assert (await transport.send(request_to("http://api.example"), PUBLIC_ONLY)).status == 200
    credentials = b64encode(b"me:hunter2").decode()
    assert proxy.received[0].header("proxy-authorization") == f"Basic {credentials}"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "ollama.localhost",
        "10.0.0.1",
        "0x7f.1",
        "169.254.169.254",
        "metadata.google.internal",
        "[::1]",
        "[::ffff:10.0.0.1]",
    ],
)
async def test_a_plainly_private_host_is_refused_as_without_proxies(
    monkeypatch: pytest.MonkeyPatch, proxy: Wire, host: str, secure: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", address_of(proxy))
    address = f"{'https' if secure else 'http'}://{host}/v1"
    async with through_proxies() as transport:
        failure = await failure_of(transport, address, PUBLIC_ONLY)
        assert ([], failure) == await failure_of_stream(transport, address, PUBLIC_ONLY)
        if not secure:
            assert (await transport.send(request_to(address), LIMITS)).status == 200
    assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
    assert failure.message.startswith(f"{host.strip('[]')} leads to this machine or a private")
    assert not failure.may_be_billed
    assert len(proxy.received) == (0 if secure else 1)


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*", "example, 127.0.0.1", "127.0.0.1:{port}"])
async def test_what_no_proxy_names_is_reached_directly_and_guarded(
    monkeypatch: pytest.MonkeyPatch, proxy: Wire, excepted: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", address_of(proxy))
    async with serving(answer) as wire:
        monkeypatch.setenv("NO_PROXY", excepted.format(port=wire.port))
        async with through_proxies() as transport:
            assert (await transport.send(request_to(wire.base_url), LIMITS)).status == 200
            failure = await failure_of(transport, wire.base_url, PUBLIC_ONLY)
    assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
    assert len(wire.received) == 1
    assert proxy.received == []


async def tunnel(exchange: Exchange) -> None:
    """What a proxy does with CONNECT; whatever the name, it leads to loopback."""
    _, target, _ = exchange.head.split(" ", 2)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
    await exchange.send(b"HTTP/1.1 200 Connected\r\n\r\n")

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await source.read(65536):
                sink.write(content)
                await sink.drain()
        sink.close()

    await asyncio.gather(pass_on(exchange.reader, writer), pass_on(reader, exchange.writer))


async def test_tls_goes_through_the_proxy_unread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, authority = certificate(tmp_path, "api.example")
    async with serving(answer, context) as wire, serving(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", address_of(proxy))
        async with through_proxies(ca_file=str(authority)) as transport:
            address = f"https://api.example:{wire.port}/v1"
            assert (await transport.send(request_to(address), PUBLIC_ONLY)).status == 200
        async with through_proxies() as transport:
            failure = await failure_of(transport, address, PUBLIC_ONLY)
    assert wire.received[0].header("authorization") == f"Bearer {KEY}"
    assert proxy.received[0].head.startswith(f"CONNECT api.example:{wire.port} HTTP/1.1\r\n")
    assert KEY not in proxy.received[0].head
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message.startswith("api.example has no certificate that is trusted here")
    assert not failure.may_be_billed


class TestItIsTheProxysFault:
    """Then nothing was sent, and the proxy is what is named."""

    async def test_it_does_not_listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{unused_port()}")
        async with through_proxies() as transport:
            failure = await failure_of(transport, "https://api.example/v1")
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == "The proxy 127.0.0.1 cannot be reached: connection refused."
        assert not failure.may_be_billed

    async def test_it_does_not_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALL_PROXY", "http://me:hunter2@proxy.invalid")
        async with through_proxies() as transport:
            failure = await failure_of(transport, "https://api.example/v1")
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == "The proxy proxy.invalid cannot be reached."
        assert not failure.may_be_billed

    @pytest.mark.parametrize("status", [403, 407, 502])
    async def test_it_does_not_lead_there(
        self, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        async def refuse(exchange: Exchange) -> None:
            await exchange.answer(status, b"no")

        async with serving(refuse) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", address_of(proxy, "me:hunter2@"))
            async with through_proxies() as transport:
                failure = await failure_of(transport, "https://api.example/v1")
        assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
        assert failure.message == (
            f"The proxy 127.0.0.1 does not lead to api.example: it answered {status}."
        )
        assert not failure.may_be_billed

    @pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "http://", "http://h:port"])
    async def test_it_is_none_that_can_be_used(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        """It is never passed by in silence: whoever set it may need every call to go through it."""
        monkeypatch.setenv("ALL_PROXY", value)
        async with serving(answer) as wire, through_proxies() as transport:
            failure = await failure_of(transport, wire.base_url)
        assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
        assert "PALYRA_ENVIRONMENT_PROXIES=no" in failure.message
        assert not failure.may_be_billed
        assert wire.received == []
