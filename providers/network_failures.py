"""What went wrong on the way, as failures.

Their words name the host, and never carry a header, a key or a body. What they say of the bill is
whether the host may have worked: it may, as soon as the request may have arrived.
"""

from __future__ import annotations

import os

import aiohttp
import httpx

from providers.bodies import MAX_RESPONSE_BYTES, BodyTooLarge, BodyUnreadable
from providers.connections import AddressRefused, Route
from providers.failures import Failure, FailureClass
from providers.sse import EventTooLarge

MAX_EVENT_BYTES = 16 * 1024 * 1024
MEBIBYTE = 1024 * 1024

# What may go wrong between a request and the end of its answer. `UnicodeError` comes of names that
# cannot be looked up.
BROKEN = (
    OSError,
    UnicodeError,
    httpx.HTTPError,
    aiohttp.ClientError,
    BodyTooLarge,
    BodyUnreadable,
    EventTooLarge,
)


def of_broken(error: BaseException, route: Route, out_of_time: str) -> Failure:
    """The failure for one of `BROKEN`; `out_of_time` is said where it was waited long enough."""
    # httpx's kinds say less than aiohttp's, of which they are made.
    cause = (error.__cause__ or error) if isinstance(error, httpx.HTTPError) else error
    unreached = _unreached(cause, route)
    if unreached is not None:
        return unreached
    if isinstance(cause, TimeoutError):
        return Failure(
            failure_class=FailureClass.PROVIDER_TIMEOUT,
            message=f"{route.host} {out_of_time}.",
            may_be_billed=True,
        )
    if isinstance(cause, BodyTooLarge):
        return _malformed(
            f"The answer of {route.host} is larger than {MAX_RESPONSE_BYTES // MEBIBYTE} MiB."
        )
    if isinstance(cause, EventTooLarge):
        return _malformed(
            f"One event of {route.host}'s answer is larger than {MAX_EVENT_BYTES // MEBIBYTE} MiB."
        )
    # aiohttp's for a head that is not HTTP.
    if isinstance(cause, BodyUnreadable | aiohttp.ClientResponseError):
        return _malformed(f"What {route.host} answered cannot be read.")
    return Failure(
        failure_class=FailureClass.NETWORK_UNAVAILABLE,
        message=f"The connection to {route.host} broke before the answer was complete.",
        may_be_billed=True,
    )


def address_refused(host: str) -> Failure:
    """What may lead to public addresses only leads elsewhere; nothing was sent."""
    return Failure(
        failure_class=FailureClass.PERMANENT_UPSTREAM,
        message=f"{host} leads to this machine or a private network, where nothing is sent. If "
        "that is meant, allow private addresses; otherwise correct the address.",
    )


def no_address() -> Failure:
    """What is given as one cannot be used; nothing was sent."""
    return Failure(
        failure_class=FailureClass.PERMANENT_UPSTREAM,
        message="What is given as the address is none. Correct it.",
    )


def proxy_unusable() -> Failure:
    """The environment names a proxy that cannot be used; nothing was sent."""
    return Failure(
        failure_class=FailureClass.PERMANENT_UPSTREAM,
        message="The proxy that the environment names is not an http or https address. Correct "
        "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or set PALYRA_ENVIRONMENT_PROXIES=no.",
    )


def unsendable_credential() -> Failure:
    """The key cannot be a header's value; nothing was sent."""
    return Failure(
        failure_class=FailureClass.AUTH_INVALID,
        message="The provider's credential has a character that no header can carry, such as a "
        "line break. Enter it again.",
    )


def not_taken(seconds: float) -> Failure:
    """Whoever asked takes the answer too slowly; that is not the host's fault."""
    return Failure(
        failure_class=FailureClass.PROVIDER_TIMEOUT,
        message=f"The answer was held up for {seconds:g} seconds by the client, which did not take "
        "it.",
        may_be_billed=True,
        callers_fault=True,
    )


def _unreached(cause: BaseException, route: Route) -> Failure | None:
    """The failure if there was no connection, so that nothing was sent; None if there was."""
    if isinstance(cause, aiohttp.ClientConnectorError):
        return _unconnected(cause, route)
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return _unavailable(
            f"The proxy {route.proxy} does not lead to {route.host}: it answered {cause.status}."
        )
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return _unavailable(f"{route.host} cannot be reached: it did not answer in time.")
    if isinstance(cause, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return no_address()
    if isinstance(cause, UnicodeError):
        return _unavailable(f"{route.host} cannot be reached: its name cannot be looked up.")
    return None


def _unconnected(cause: aiohttp.ClientConnectorError, route: Route) -> Failure:
    host, reason = route.host, _reason(cause.os_error)
    if route.proxy and cause.host == route.proxy:
        return _unavailable(f"The proxy {route.proxy} cannot be reached{reason}.")
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return _unavailable(
            f"{host} has no certificate that is trusted here{_fault(cause.certificate_error)}. If "
            "its authority is your own, name a file with it in PALYRA_CA_FILE."
        )
    if isinstance(cause, aiohttp.ClientConnectorSSLError):
        return _unavailable(f"{host} cannot be reached: no TLS connection can be made with it.")
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return _unavailable(f"{host} cannot be reached: its name cannot be looked up.")
    if isinstance(cause.os_error, AddressRefused):
        return address_refused(host)
    return _unavailable(f"{host} cannot be reached{reason}.")


def _reason(error: OSError) -> str:
    """The system's words for it; the library's have the address in them."""
    known = error.errno is not None and error.errno > 0
    return f": {os.strerror(error.errno or 0).lower()}" if known else ""


def _fault(error: Exception) -> str:
    """What is wrong with a certificate, in OpenSSL's words."""
    said = str(getattr(error, "verify_message", "")).rstrip(".")
    return f" ({said})" if said else ""


def _unavailable(message: str) -> Failure:
    return Failure(failure_class=FailureClass.NETWORK_UNAVAILABLE, message=message)


def _malformed(message: str) -> Failure:
    return Failure(
        failure_class=FailureClass.MALFORMED_RESPONSE, message=message, may_be_billed=True
    )
