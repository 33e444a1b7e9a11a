"""The one way out: every request to a provider goes through here.

httpx's types on its aiohttp transport, called directly: httpx's client costs as much again. What
goes wrong becomes a `Failure` whose words name the host and never carry a header, a key or a body.
Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import orjson
from django.conf import settings

from providers import network_failures
from providers.bodies import InboundBody
from providers.connections import AddressRefused, Connections, ProxyUnusable, Route
from providers.failures import Failure
from providers.network_failures import BROKEN, MAX_EVENT_BYTES
from providers.registry import ProviderEntry
from providers.sse import EventParser, ServerSentEvent

WHOLE = {"user-agent": "Palyra", "accept-encoding": "gzip"}
# Whoever packs a stream holds its events back until there is enough to pack.
STREAMED = {"user-agent": "Palyra", "accept-encoding": "identity"}
# A larger body is handed over in pieces of this size, in bytes: written at once, it would hold up
# everything else while it is encrypted.
PIECE = 256 * 1024
# Connecting is given up a little before everything is, so that one is never taken for the other:
# a call that was not sent cannot be billed.
FOR_CONNECTING = 0.95


@dataclass(frozen=True, slots=True, repr=False)
class OutboundRequest:
    """What to send: built by an adapter, never printed, for it carries the key."""

    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class InboundAnswer:
    """What came back. `json` is the parsed body, or None if it was not JSON; `content` is the body
    as it was. The names of `headers` are in lower case."""

    status: int
    json: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a request may take, in seconds, and where it may go.

    `connect` is until there is a connection, `first_byte` until a stream's first event has come,
    `total` until the whole answer has.
    """

    connect: float
    total: float
    first_byte: float | None = None
    allow_private: bool = False

    @classmethod
    def of(cls, provider: ProviderEntry, *, stream: bool = False) -> Limits:
        """What `provider` is given; a stream must begin sooner than a whole answer comes."""
        return cls(
            connect=provider.connect_timeout,
            total=provider.total_timeout,
            first_byte=provider.first_token_timeout if stream else None,
            allow_private=provider.allow_private_base_url,
        )

    @property
    def begin(self) -> float:
        """Seconds until the answer must have begun."""
        return self.total if self.first_byte is None else min(self.first_byte, self.total)


class TransportFailed(Exception):
    """No answer came; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Transport:
    """The connections of one event loop. Close it with `close`.

    What is not given is as the settings say: `ca_file` names certificate authorities to be trusted
    besides the usual ones, and `environment_proxies` lets HTTP_PROXY and the like apply.
    """

    def __init__(
        self, *, ca_file: str | None = None, environment_proxies: bool | None = None
    ) -> None:
        if ca_file is None:
            ca_file = settings.PALYRA_CA_FILE
        if environment_proxies is None:
            environment_proxies = settings.PALYRA_ENVIRONMENT_PROXIES
        self._connections = Connections(ca_file=ca_file, environment_proxies=environment_proxies)

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    async def send(self, request: OutboundRequest, limits: Limits) -> InboundAnswer:
        """Send `request` and read the whole answer. Raises `TransportFailed` if there is none."""
        route = self._route(request, limits)
        outbound = _outbound(request, route, WHOLE, limits)
        try:
            async with asyncio.timeout(limits.total):
                response = await route.transport.handle_async_request(outbound)
                headers = _headers(response)
                content = await _content(response, headers)
        except BROKEN as error:
            late = f"did not answer within {limits.total:g} seconds"
            failure = network_failures.of_broken(error, route, late)
            raise TransportFailed(failure) from None
        return InboundAnswer(response.status_code, _parse(content), headers, content)

    async def open(self, request: OutboundRequest, limits: Limits) -> InboundStream:
        """Send `request`, and give the answer once its head has come. Raises `TransportFailed`."""
        route = self._route(request, limits)
        outbound = _outbound(request, route, STREAMED, limits)
        sent_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(limits.begin):
                response = await route.transport.handle_async_request(outbound)
        except BROKEN as error:
            failure = network_failures.of_broken(error, route, _late_to_begin(limits))
            raise TransportFailed(failure) from None
        return InboundStream(response, route, limits, sent_at)

    def _route(self, request: OutboundRequest, limits: Limits) -> Route:
        if not all(value.isascii() and value.isprintable() for value in request.headers.values()):
            raise TransportFailed(network_failures.unsendable_credential())
        try:
            return self._connections.route(request.url, allow_private=limits.allow_private)
        except httpx.InvalidURL:
            failure = network_failures.no_address()
        except AddressRefused:
            failure = network_failures.address_refused(httpx.URL(request.url).host)
        except ProxyUnusable:
            failure = network_failures.proxy_unusable()
        raise TransportFailed(failure)


class InboundStream:
    """An answer whose head has come. Read it as `events` or whole with `read`, and close it."""

    def __init__(
        self, response: httpx.Response, route: Route, limits: Limits, sent_at: float
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = _headers(response)
        self._response = response
        self._pieces = _pieces(response)
        self._route = route
        self._limits = limits
        self._sent_at = sent_at
        # When the reader was last given something, and the seconds it took to ask for more.
        self._given_at = sent_at
        self._taken = 0.0
        self._closed = False

    async def read(self) -> InboundAnswer:
        """The rest as a whole answer: an error's body, say. Raises `TransportFailed`."""
        try:
            async with asyncio.timeout_at(self._sent_at + self._limits.total):
                content = await _content(self._response, self.headers)
        except BROKEN as error:
            raise self._failed(error, begun=True) from None
        return InboundAnswer(self.status, _parse(content), self.headers, content)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events, each as soon as it has come. Iterate once.

        Raises `TransportFailed` for a stream that breaks off, is too slow or is too large. Whether
        one that just ends was complete is for its decoder to say. The time that the reader takes is
        not the host's: it may take as long again, and then it is at fault.
        """
        parser, begun = EventParser(MAX_EVENT_BYTES), False
        try:
            body = InboundBody(self.headers)
            while (piece := await self._next(begun)) is not None:
                for event in parser.feed(body.feed(piece)):
                    begun = True
                    yield event
            body.finish()
        except BROKEN as error:
            await self.aclose()
            raise self._failed(error, begun) from None
        for event in parser.finish():
            yield event

    async def aclose(self) -> None:
        """Close it. If it was not read to its end the connection is closed at once, by which the
        host learns that nobody waits for more."""
        if self._closed:
            return
        self._closed = True
        await _close(self._response)
        # Another task may still wait for a piece; the closing wakes it.
        with contextlib.suppress(RuntimeError):
            await self._pieces.aclose()

    async def _next(self, begun: bool) -> bytes | None:
        clock = asyncio.get_running_loop().time
        seconds = self._limits.total if begun else self._limits.begin
        if begun:
            self._taken += clock() - self._given_at
        if self._taken > self._limits.total:
            await self.aclose()
            raise TransportFailed(network_failures.not_taken(self._limits.total))
        try:
            async with asyncio.timeout_at(self._sent_at + seconds + self._taken):
                return await anext(self._pieces, None)
        finally:
            self._given_at = clock()

    def _failed(self, error: BaseException, begun: bool) -> TransportFailed:
        late = (
            f"did not finish its answer within {self._limits.total:g} seconds"
            if begun
            else _late_to_begin(self._limits)
        )
        return TransportFailed(network_failures.of_broken(error, self._route, late))


def _late_to_begin(limits: Limits) -> str:
    return f"did not begin to answer within {limits.begin:g} seconds"


def _outbound(
    request: OutboundRequest, route: Route, headers: Mapping[str, str], limits: Limits
) -> httpx.Request:
    """The request as the transport takes it; what it says itself outranks `headers`."""
    content: bytes | AsyncIterator[bytes] = request.body
    if len(request.body) > PIECE:
        content, headers = _in_pieces(request.body), _with_length(headers, len(request.body))
    # What httpx calls the pool's timeout is aiohttp's for all of it: name, connection and TLS.
    connect = min(limits.connect, FOR_CONNECTING * limits.begin)
    return httpx.Request(
        request.method,
        route.url,
        headers={**headers, **request.headers},
        content=content,
        extensions={"timeout": {"pool": connect}},
    )


def _with_length(headers: Mapping[str, str], length: int) -> Mapping[str, str]:
    return {**headers, "content-length": str(length)}


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    whole = memoryview(body)
    for begin in range(0, len(body), PIECE):
        yield bytes(whole[begin : begin + PIECE])


def _headers(response: httpx.Response) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in response.headers.raw
    }


def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, still packed."""
    stream = cast(httpx.AsyncByteStream, response.stream)
    return cast(AsyncGenerator[bytes, None], aiter(stream))


async def _content(response: httpx.Response, headers: Mapping[str, str]) -> bytes:
    """The whole body, unpacked. The response is closed then, whatever comes."""
    try:
        body = InboundBody(headers)
        content = [body.feed(piece) async for piece in _pieces(response)]
        body.finish()
    finally:
        await _close(response)
    return b"".join(content)


async def _close(response: httpx.Response) -> None:
    with contextlib.suppress(*BROKEN):
        await cast(httpx.AsyncByteStream, response.stream).aclose()


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
