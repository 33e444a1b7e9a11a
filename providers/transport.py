"""The one way out: every request to a provider goes through here.

httpx's types and timeouts on the aiohttp transport, which costs a fraction of the CPU. Redirects
are not followed and proxies from the environment are not used. What goes wrong becomes a `Failure`
whose words name the host and never carry a header, a key or a body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from providers.failures import Failure, FailureClass

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_CONNECTIONS = 512
# Shorter than the five seconds after which many servers hang up: a call sent on a connection that
# is just being closed is lost, and nobody can say whether it was worked on.
KEEPALIVE_SECONDS = 4.0


@dataclass(frozen=True, slots=True, repr=False)
class OutboundRequest:
    """What to send: built by an adapter, never printed, for it carries the key."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class InboundAnswer:
    """What came back. `json` is the parsed body, or None if it was not JSON."""

    status: int
    json: Any


class TransportFailed(Exception):
    """No answer came; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Transport:
    """A connection pool for one event loop. Close it with `close`."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            transport=_transport(),
            # One pool serves many credentials, so no call carries what another was given.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def post(
        self, request: OutboundRequest, *, connect_timeout: float, total_timeout: float
    ) -> InboundAnswer:
        """Send `request` and read the whole answer within `total_timeout` seconds.

        Raises `TransportFailed` if there is none, or it is larger than `MAX_RESPONSE_BYTES`.
        """
        limits = httpx.Timeout(total_timeout, connect=connect_timeout)
        outbound = self._build(request, limits)
        host = outbound.url.host
        try:
            async with asyncio.timeout(total_timeout):
                status, content = await self._send(outbound)
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise TransportFailed(_failure(error, host, total_timeout)) from None
        return InboundAnswer(status, _parse(content))

    def _build(self, request: OutboundRequest, limits: httpx.Timeout) -> httpx.Request:
        if not all(value.isascii() and value.isprintable() for value in request.headers.values()):
            raise TransportFailed(_unsendable_credential())
        try:
            return self._client.build_request(
                "POST", request.url, headers=request.headers, content=request.body, timeout=limits
            )
        except httpx.InvalidURL:
            raise TransportFailed(_unsendable_address()) from None

    async def _send(self, request: httpx.Request) -> tuple[int, bytes]:
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    raise TransportFailed(_too_large())
            return response.status_code, bytes(content)
        finally:
            await response.aclose()


def _transport() -> AiohttpTransport:
    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=transport.ssl_context,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    transport = AiohttpTransport(trust_env=False, client=session)
    return transport


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _failure(error: Exception, host: str, total_timeout: float) -> Failure:
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return _unreachable(f"{host} has no certificate that is trusted here.")
    # The transport calls every lost connection a `ConnectTimeout`; its cause tells them apart.
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return _unreachable(f"{host} cannot be reached.")
    # The request may have arrived, and been worked on, although nothing came back.
    if isinstance(error, TimeoutError | httpx.ReadTimeout):
        return Failure(
            failure_class=FailureClass.PROVIDER_TIMEOUT,
            message=f"{host} did not answer within {total_timeout:g} seconds.",
            may_be_billed=True,
        )
    return Failure(
        failure_class=FailureClass.NETWORK_UNAVAILABLE,
        message=f"The connection to {host} broke before the answer was complete.",
        may_be_billed=True,
    )


def _unreachable(message: str) -> Failure:
    return Failure(failure_class=FailureClass.NETWORK_UNAVAILABLE, message=message)


def _unsendable_credential() -> Failure:
    return Failure(
        failure_class=FailureClass.AUTH_INVALID,
        message="The provider's credential has a character that no header can carry, such as a "
        "line break. Enter it again.",
    )


def _unsendable_address() -> Failure:
    return Failure(
        failure_class=FailureClass.PERMANENT_UPSTREAM,
        message="The provider's base URL is not an address. Correct it.",
    )


def _too_large() -> Failure:
    return Failure(
        failure_class=FailureClass.MALFORMED_RESPONSE,
        message=f"The answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MiB.",
        may_be_billed=True,
    )
