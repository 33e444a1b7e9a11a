"""Where requests may go: what counts is the address that is really connected to."""

from __future__ import annotations

import asyncio
import socket

import pytest
import pytest_asyncio

from providers.addresses import may_connect
from providers.failures import Failure, FailureClass
from providers.registry import ProviderEntry
from providers.transport import Limits, Transport
from tests.providers.sending import (
    LIMITS,
    PUBLIC_ONLY,
    Names,
    answer,
    failure_of,
    failure_of_stream,
    request_to,
)
from tests.providers.wire import serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database
PUBLIC = "93.184.215.14"


@pytest_asyncio.fixture
async def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets are connected to; public ones lead nowhere in tests."""
    loop_type, found = type(asyncio.get_running_loop()), list[str]()
    connect = loop_type.sock_connect

    async def note(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple) -> None:  # type: ignore[type-arg]
        found.append(address[0])
        if may_connect(address[0]):
            raise ConnectionRefusedError(111, "nobody there")
        await connect(loop, sock, address)

    monkeypatch.setattr(loop_type, "sock_connect", note)
    return found


def is_refusal(failure: Failure, host: str) -> bool:
    return failure == Failure(
        failure_class=FailureClass.PERMANENT_UPSTREAM,
        message=f"{host} leads to this machine or a private network, where nothing is sent. If "
        "that is meant, allow private addresses; otherwise correct the address.",
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ],
)
async def test_a_private_host_is_refused_and_nothing_is_sent(
    transport: Transport, connected: list[str], host: str
) -> None:
    async with serving(answer) as wire:
        address = f"http://{host}:{wire.port}/v1"
        failure = await failure_of(transport, address, PUBLIC_ONLY)
        assert is_refusal(failure, host.strip("[]"))
        assert ([], failure) == await failure_of_stream(transport, address, PUBLIC_ONLY)
    assert wire.received == []
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_provider_may_be_allowed_to_use_it(transport: Transport, host: str) -> None:
    async with serving(answer) as wire:
        request = request_to(f"http://{host}:{wire.port}/v1")
        assert (await transport.send(request, LIMITS)).status == 200


@pytest.mark.parametrize("host", ["127.1", "2130706433", "017700000001"])
async def test_an_odd_spelling_leads_nowhere(
    transport: Transport, connected: list[str], host: str
) -> None:
    failure = await failure_of(transport, f"http://{host}/v1")
    assert failure.failure_class is FailureClass.PERMANENT_UPSTREAM
    assert not failure.may_be_billed
    assert connected == []


async def test_a_literal_of_ipv6_leads_where_it_says(transport: Transport) -> None:
    async with serving(answer, host="::1") as wire:
        assert "[::1]" in wire.base_url
        assert (await transport.send(request_to(wire.base_url), LIMITS)).status == 200
        assert is_refusal(await failure_of(transport, wire.base_url, PUBLIC_ONLY), "::1")
    assert len(wire.received) == 1
    assert wire.received[0].header("host") == f"[::1]:{wire.port}"


async def test_a_name_that_is_public_when_looked_at_and_private_when_connected(
    transport: Transport, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: a check of the name would have passed; the connection is refused all the same."""
    names = Names(monkeypatch, [PUBLIC], ["127.0.0.1"])
    async with serving(answer) as wire:
        loop = asyncio.get_running_loop()
        looked_at = (await loop.getaddrinfo("rebinding.example", wire.port))[0][-1][0]
        assert may_connect(str(looked_at))
        address = f"http://rebinding.example:{wire.port}/v1"
        assert is_refusal(await failure_of(transport, address, PUBLIC_ONLY), "rebinding.example")
    assert len(names.asked) == 2
    assert connected == []
    assert wire.received == []


async def test_what_a_name_is_connected_to_is_what_was_checked(
    transport: Transport, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way about: checked and connected to are the same look-up, not one each."""
    names = Names(monkeypatch, [PUBLIC], ["127.0.0.1"])
    failure = await failure_of(transport, "http://rebinding.example:81/v1", PUBLIC_ONLY)
    assert failure.message == "rebinding.example cannot be reached: connection refused."
    assert len(names.asked) == 1
    assert connected == [PUBLIC]


@pytest.mark.parametrize(
    "given", [["127.0.0.1", "10.0.0.1"], ["::1", "127.0.0.1"], ["::ffff:127.0.0.1", "fe80::1"]]
)
async def test_a_name_with_several_private_addresses(
    transport: Transport,
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    Names(monkeypatch, given)
    failure = await failure_of(transport, "http://several.example/v1", PUBLIC_ONLY)
    assert is_refusal(failure, "several.example")
    assert connected == []


@pytest.mark.parametrize("given", [["127.0.0.1", PUBLIC], [PUBLIC, "127.0.0.1"]])
async def test_of_a_mixed_name_only_the_public_address_is_tried(
    transport: Transport,
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    Names(monkeypatch, given)
    async with serving(answer) as wire:
        await failure_of(transport, f"http://mixed.example:{wire.port}/v1", PUBLIC_ONLY)
    assert set(connected) == {PUBLIC}
    assert wire.received == []


async def test_a_connection_one_provider_may_use_is_not_lent_to_another(
    transport: Transport,
) -> None:
    async with serving(answer) as wire:
        assert (await transport.send(request_to(wire.base_url), LIMITS)).status == 200
        assert is_refusal(await failure_of(transport, wire.base_url, PUBLIC_ONLY), "127.0.0.1")
        assert (await transport.send(request_to(wire.base_url), LIMITS)).status == 200
    assert len(wire.received) == 2
    assert wire.received[0].writer is wire.received[1].writer


def test_the_limits_are_the_providers() -> None:
    provider = ProviderEntry(
        id=1,
        name="p",
        display_name="P",
        kind="openai_compatible",
        connect_timeout=1,
        first_token_timeout=2,
        total_timeout=3,
        allow_private_base_url=True,
    )
    assert Limits.of(provider) == Limits(connect=1, total=3, allow_private=True)
    assert Limits.of(provider, stream=True) == Limits(
        connect=1, total=3, first_byte=2, allow_private=True
    )
