"""Real TLS, with certificates that are and are not trusted."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from providers.failures import FailureClass
from providers.transport import InboundAnswer, Transport
from tests.providers.sending import (
    IMPATIENCE,
    LIMITS,
    answer,
    certificate,
    failure_of,
    request_to,
)
from tests.providers.wire import serving

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database


async def send(transport: Transport, base_url: str) -> InboundAnswer:
    return await transport.send(request_to(base_url), LIMITS)


async def test_a_server_that_does_not_speak_tls(transport: Transport) -> None:
    async with serving(answer) as wire:
        address = f"https://127.0.0.1:{wire.port}/v1"
        failure = await failure_of(transport, address, replace(LIMITS, connect=IMPATIENCE))
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert not failure.may_be_billed
    assert wire.received == []


async def test_a_server_that_answers_a_handshake_in_clear(transport: Transport) -> None:
    async def speak_clearly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(speak_clearly, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        failure = await failure_of(transport, f"https://127.0.0.1:{port}/v1")
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == (
        "127.0.0.1 cannot be reached: no TLS connection can be made with it."
    )
    assert not failure.may_be_billed


async def test_a_server_that_cannot_be_trusted(transport: Transport, tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    async with serving(answer, context) as wire:
        failure = await failure_of(transport, f"https://127.0.0.1:{wire.port}/v1")
    assert failure.failure_class is FailureClass.NETWORK_UNAVAILABLE
    assert failure.message == (
        "127.0.0.1 has no certificate that is trusted here (self-signed certificate). If its "
        "authority is your own, name a file with it in PALYRA_CA_FILE."
    )
    assert not failure.may_be_billed
    assert wire.received == []


async def test_an_authority_of_ones_own_is_trusted(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    transport = Transport(ca_file=str(authority))
    try:
        async with serving(answer, context) as wire:
            address = f"https://127.0.0.1:{wire.port}/v1"
            assert (await send(transport, address)).json == {"fine": True}
    finally:
        await transport.close()


@pytest.mark.parametrize(
    ("name", "days", "fault"),
    [("other.example", 1, "not valid for '127.0.0.1'"), ("127.0.0.1", -1, "has expired")],
)
async def test_a_certificate_of_ones_own_must_still_be_right(
    tmp_path: Path, name: str, days: int, fault: str
) -> None:
    context, authority = certificate(tmp_path, name, days=days)
    transport = Transport(ca_file=str(authority))
    try:
        async with serving(answer, context) as wire:
            failure = await failure_of(transport, f"https://127.0.0.1:{wire.port}/v1")
    finally:
        await transport.close()
    assert fault in failure.message


async def test_the_setting_is_what_is_trusted_by_default(tmp_path: Path, settings: object) -> None:
    context, authority = certificate(tmp_path)
    settings.PALYRA_CA_FILE = str(authority)  # type: ignore[attr-defined]
    transport = Transport()
    try:
        async with serving(answer, context) as wire:
            address = f"https://127.0.0.1:{wire.port}/v1"
            assert (await send(transport, address)).status == 200
    finally:
        await transport.close()


def test_the_usual_authorities_are_trusted_as_well(tmp_path: Path) -> None:
    _, authority = certificate(tmp_path)
    usual, more = context_of(Transport()), context_of(Transport(ca_file=str(authority)))
    assert len(more.get_ca_certs()) >= len(usual.get_ca_certs()) > 50
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname


def context_of(transport: Transport) -> ssl.SSLContext:
    context: ssl.SSLContext = transport._connections._context
    return context
