"""Connections kept alive, in pools that differ in where they may lead.

An address is checked when its socket is made, with what the socket is then connected to: neither a
name that resolves to something else a moment later nor an address spelt oddly gets around that.
Providers that may go to private addresses have a pool of their own, so that no other provider is
handed one of its connections.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib import request as environment
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from providers import addresses

# Shorter than the five seconds after which many servers hang up: a call sent on a connection that
# is just being closed is lost, and nobody can say whether it was worked on.
KEEPALIVE_SECONDS = 4.0
MOST_ROUTES = 1024


class AddressRefused(OSError):
    """The host leads to an address that the provider may not go to."""

    def __init__(self) -> None:
        # Always the same words: of a host with several addresses, aiohttp then raises it as it is.
        super().__init__("the address is not a public one")


class ProxyUnusable(Exception):
    """What the environment says of proxies cannot be used."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a request gets to its host. `proxy` names the proxy's host, if there is one."""

    url: httpx.URL
    transport: httpx.AsyncBaseTransport
    proxy: str = ""

    @property
    def host(self) -> str:
        """The host's name, for people."""
        return self.url.host


class Connections:
    """Every connection of one event loop.

    `ca_file` names a file of certificate authorities to trust besides the usual ones; empty for
    none. With `environment_proxies`, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY apply, as they
    are now.

    There is no bound on how many: whoever makes calls limits them, and hosts that hang would use up
    a bound at the expense of those that do not.
    """

    def __init__(self, *, ca_file: str, environment_proxies: bool) -> None:
        self._context = httpx.create_ssl_context(trust_env=False)
        if ca_file:
            self._context.load_verify_locations(ca_file)
        self._proxies = environment.getproxies_environment() if environment_proxies else {}
        self._public = _pool(self._context, _public_socket)
        self._any = _pool(self._context, None)
        self._by_proxy: dict[str, httpx.AsyncBaseTransport] = {}
        self._routes: dict[tuple[str, bool], Route] = {}

    def route(self, url: str, *, allow_private: bool) -> Route:
        """How to get to `url`. Raises `httpx.InvalidURL`, `AddressRefused` and `ProxyUnusable`."""
        found = self._routes.get((url, allow_private))
        if found is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            found = self._routes[url, allow_private] = self._find(httpx.URL(url), allow_private)
        return found

    async def close(self) -> None:
        """Close all of them."""
        for transport in (self._public, self._any, *self._by_proxy.values()):
            await transport.aclose()

    def _find(self, url: httpx.URL, allow_private: bool) -> Route:
        if url.scheme not in {"http", "https"} or not url.host:
            raise httpx.InvalidURL("not an http address")
        proxy = self._proxy_for(url)
        if not proxy:
            return Route(url, self._any if allow_private else self._public)
        # The proxy looks the name up and connects, so names cannot be judged here.
        if not allow_private and addresses.is_plainly_private(url.raw_host.decode("ascii")):
            raise AddressRefused
        return Route(url, self._through(proxy), urlsplit(proxy).hostname or "")

    def _proxy_for(self, url: httpx.URL) -> str:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all") or ""
        netloc = url.netloc.decode("ascii")
        # Typeshed does not know of it.
        bypassed = environment.proxy_bypass_environment  # type: ignore[attr-defined]
        if not proxy or bypassed(netloc, self._proxies):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _through(self, proxy: str) -> httpx.AsyncBaseTransport:
        if proxy not in self._by_proxy:
            try:
                parts = urlsplit(proxy)
                usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ProxyUnusable
            # Who sets a proxy says where it is: its own address is not checked.
            self._by_proxy[proxy] = _pool(self._context, None, proxy)
        return self._by_proxy[proxy]


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for what `getaddrinfo` says; what it is then connected to is what is checked."""
    family, kind, protocol, _, (host, *_) = address
    if not addresses.may_connect(host):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def _pool(
    context: ssl.SSLContext,
    make_socket: Callable[[tuple[Any, ...]], socket.socket] | None,
    proxy: str | None = None,
) -> httpx.AsyncBaseTransport:
    """A pool; its session is made with its first request, when the event loop runs."""

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=context,
            socket_factory=make_socket,
            # Otherwise limits of more than five seconds are rounded up.
            timeout_ceil_threshold=float("inf"),
        )
        # One pool serves many credentials, so no call carries what another was given.
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(connector=connector, cookie_jar=jar, proxy=proxy)

    transport: httpx.AsyncBaseTransport = AiohttpTransport(
        verify=context, trust_env=False, client=session
    )
    return transport
