"""Why a host could not be used, in plain words, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from providers.failures import REDIRECTS, SUCCESSES, Failure, FailureClass

NOT_FOUND = {404, 405, 410}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong and what to do about it, a sentence or two each."""

    cause: str
    advice: str

    def __str__(self) -> str:
        return f"{self.cause} {self.advice}".strip()


# Of a class: our own sentence, or none where the failure's message is the best there is.
_OF_CLASS: Mapping[FailureClass, tuple[str, str]] = {
    FailureClass.AUTH_INVALID: (
        "The host refused the key ({status}).",
        "Check that it was pasted whole, belongs to this host and has not been revoked; then enter "
        "it again.",
    ),
    FailureClass.AUTH_EXPIRED: (
        "The key has expired ({status}).",
        "Make a new one at the host and replace it here.",
    ),
    FailureClass.PERMISSION_DENIED: (
        "The host knows the key but does not let it list models ({status}).",
        "Give the key that permission at the host, or use one of the right project or region.",
    ),
    FailureClass.RATE_LIMITED: (
        "The host says that it is asked too often ({status}).",
        "The key works. Test again in a minute; if it stays so, raise the limit at the host or "
        "lower this provider's concurrency.",
    ),
    FailureClass.QUOTA_EXCEEDED: (
        "The account at the host has no credit left, or has reached its limit ({status}).",
        "Add credit or raise the limit at the host.",
    ),
    FailureClass.TRANSIENT_UPSTREAM: (
        "The host has a problem of its own ({status}).",
        "Try again in a few minutes, and look at the host's status page.",
    ),
    FailureClass.PERMANENT_UPSTREAM: (
        "The host refused the question ({status}).",
        "Check the base URL and the kind of the provider.",
    ),
    FailureClass.MALFORMED_RESPONSE: (
        "Something answered, but not with a list of models.",
        "The base URL probably leads to a web page, or to another kind of host. Use the API's "
        "address with its version, such as https://api.example.com/v1.",
    ),
    FailureClass.NETWORK_UNAVAILABLE: (
        "{message}",
        "Check the base URL, and whether this machine can reach the host.",
    ),
    FailureClass.PROVIDER_TIMEOUT: (
        "{message}",
        "Check the base URL, and whether a firewall lies between. If the host is just slow, give "
        "the provider longer time limits.",
    ),
}
# Of what happens before a host has answered, by what the transport says of it; where it gives
# advice itself, that comes first.
_OF_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"private network", "Allow private addresses for this provider, if that is meant."),
        (r"proxy", "Check the proxy that Palyra is told to use."),
        (r"certificate", "Check the base URL, and the clock of this machine."),
        (
            r"\bTLS\b",
            "Most likely the port speaks plain HTTP: use http://, or the right port, in the base "
            "URL.",
        ),
        (r"looked up", "Check how the host is spelt in the base URL."),
        (
            r"refused",
            "Nothing listens there: check the port in the base URL, and that the server runs.",
        ),
        (r"not an address", "Correct the base URL."),
    )
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def diagnose(failure: Failure, *, has_key: bool = True, url: str = "") -> Diagnosis:
    """What `failure` means to somebody who is setting a provider up.

    `has_key` is whether a key was sent, `url` what was asked for. Of what happens on the way to the
    host the failure's own message is the cause: it names the host.
    """
    status = failure.http_status
    if status is None:
        return _of_the_way(failure)
    if status in REDIRECTS:
        return Diagnosis(
            f"The host answered with a redirect ({status}), and those are not followed.",
            "The base URL is not quite right: use the address that it leads to, often https:// in "
            "place of http://.",
        )
    if status in NOT_FOUND:
        return Diagnosis(
            f"The host has nothing at {_shown(url) or 'that address'} ({status}).",
            "The base URL probably lacks its version, such as /v1. A few hosts have no list of "
            "models; calls to those may work all the same.",
        )
    if failure.failure_class is FailureClass.AUTH_INVALID and not has_key:
        return Diagnosis(
            f"The host asks for a key, and this provider has none ({status}).",
            "Add a credential.",
        )
    return _of_class(failure)


def _shown(url: str) -> str:
    """The address without a user name, password or query: people put keys there."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _of_the_way(failure: Failure) -> Diagnosis:
    """Of a failure without an answer: its own words, and advice by them."""
    cause, *advised = _SENTENCE_END.split(failure.message, maxsplit=1)
    if advised:
        return Diagnosis(cause, advised[0])
    for pattern, advice in _OF_WORDS:
        if pattern.search(cause):
            return Diagnosis(cause, advice)
    if failure.failure_class is FailureClass.AUTH_INVALID:
        return Diagnosis(cause, "Enter the credential again, or put it where it is looked for.")
    return _of_class(failure)


def _of_class(failure: Failure) -> Diagnosis:
    cause, advice = _OF_CLASS.get(failure.failure_class, _OF_CLASS[FailureClass.PERMANENT_UPSTREAM])
    status = failure.http_status
    if status is None or status in SUCCESSES:
        cause = cause.replace(" ({status})", "")
    return Diagnosis(cause.format(message=failure.message, status=status), advice)
