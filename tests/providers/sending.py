"""Requests for the tests of the transport, and what became of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from providers.failures import Failure
from providers.sse import ServerSentEvent
from providers.transport import Limits, OutboundRequest, Transport, TransportFailed
from tests.providers.wire import Exchange

KEY = "sk-never-to-be-seen"
PATIENCE = 30.0
IMPATIENCE = 0.2
# Every server of these tests is on loopback.
LIMITS = Limits(connect=PATIENCE, total=PATIENCE, allow_private=True)
PUBLIC_ONLY = replace(LIMITS, allow_private=False)


def request_to(base_url: str, **headers: str) -> OutboundRequest:
    """A request as an adapter makes it; it carries `KEY`."""
    sent = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **headers}
    return OutboundRequest(f"{base_url}/chat/completions", sent, b'{"model": "m"}')


async def failure_of(transport: Transport, base_url: str, limits: Limits = LIMITS) -> Failure:
    """How sending it fails; it must, and nothing of the failure may show the key."""
    with pytest.raises(TransportFailed) as caught:
        await transport.send(request_to(base_url), limits)
    return shown(caught.value)


async def failure_of_stream(
    transport: Transport, base_url: str, limits: Limits = LIMITS
) -> tuple[list[ServerSentEvent], Failure]:
    """How streaming it fails, and the events before that."""
    events: list[ServerSentEvent] = []
    with pytest.raises(TransportFailed) as caught:
        stream = await transport.open(request_to(base_url), limits)
        try:
            async for event in stream.events():
                events.append(event)
        finally:
            await stream.aclose()
    return events, shown(caught.value)


def shown(error: TransportFailed) -> Failure:
    """The failure, which shows no key and drags no exception along that might."""
    assert error.__cause__ is None
    assert KEY not in repr(error) + repr(error.failure)
    return error.failure


def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


async def answer(exchange: Exchange) -> None:
    """The behaviour of a host that is well."""
    await exchange.answer(200, {"fine": True})


class Names:
    """What names stand for, in place of the system's; every look-up is counted.

    `given` are the addresses of one look-up after the other; the last goes on for ever.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *given: list[str]) -> None:
        self.given = list(given)
        self.asked: list[str] = []
        loop = type(asyncio.get_running_loop())
        system = loop.getaddrinfo

        async def look_up(
            loop: asyncio.AbstractEventLoop, host: str, port: int, **options: Any
        ) -> list[Any]:
            if not host.endswith(".example"):
                return await system(loop, host, port, **options)
            return self._answer(host, port)

        monkeypatch.setattr(loop, "getaddrinfo", look_up)

    def _answer(self, host: str, port: int) -> list[Any]:
        self.asked.append(host)
        found = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (one, port, 0, 0) if ":" in one else (one, port),
            )
            for one in found
        ]


def certificate(directory: Path, *names: str, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """What a server shows that signed for itself, and the file by which it can be trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, end - timedelta(days=9), end)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(one) for one in names or ("127.0.0.1",)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    public, both = directory / "authority.pem", directory / "both.pem"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both.write_bytes(private + public.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, public


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
