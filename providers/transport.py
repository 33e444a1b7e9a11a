"""The one way out: every request to a provider goes through here.

httpx's types and timeouts on the aiohttp transport, which costs a fraction of the CPU. Redirects
are not followed and proxies from the environment are not used. What goes wrong becomes a `Failure`
whose words name the host and never carry a header, a key or a body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from providers.failures import Failure, FailureClass

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_CONNECTIONS = 512


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
            transport=AiohttpTransport(
                trust_env=False, limits=httpx.Limits(max_connections=MAX_CONNECTIONS)
            ),
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
        host = httpx.URL(request.url).host
        limits = httpx.Timeout(total_timeout, connect=connect_timeout)
        try:
            async with asyncio.timeout(total_timeout):
                status, content = await self._send(request, limits)
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise TransportFailed(_failure(error, host, total_timeout)) from None
        return InboundAnswer(status, _parse(content))

    async def _send(self, request: OutboundRequest, limits: httpx.Timeout) -> tuple[int, bytes]:
        async with self._client.stream(
            "POST", request.url, headers=request.headers, content=request.body, timeout=limits
        ) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    raise TransportFailed(_too_large())
            return response.status_code, bytes(content)


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _failure(error: Exception, host: str, total_timeout: float) -> Failure:
    if _never_connected(error):
        return Failure(
            failure_class=FailureClass.NETWORK_UNAVAILABLE, message=f"{host} cannot be reached."
        )
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


def _never_connected(error: Exception) -> bool:
    """The transport calls every lost connection a `ConnectTimeout`; its cause tells them apart."""
    return isinstance(
        error.__cause__ or error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    )


def _too_large() -> Failure:
    return Failure(
        failure_class=FailureClass.MALFORMED_RESPONSE,
        message=f"The answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MiB.",
        may_be_billed=True,
    )
