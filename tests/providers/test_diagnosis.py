"""Every failure has a cause in plain words, and advice."""

from __future__ import annotations

import pytest

from providers.diagnosis import diagnose
from providers.failures import Failure, FailureClass, from_http

# The connections are to hosts, and none is to a database.
pytestmark = pytest.mark.any_database


def way(message: str, failure_class: FailureClass = FailureClass.NETWORK_UNAVAILABLE) -> Failure:
    """A failure without an answer, in the transport's words."""
    return Failure(failure_class=failure_class, message=message)


@pytest.mark.parametrize(
    ("failure", "cause", "advice"),
    [
        (from_http(401, None), "refused the key (401)", "pasted whole"),
        (
            from_http(401, {"error": {"message": "The key has expired."}}),
            "key has expired (401)",
            "Make a new one",
        ),
        (from_http(403, None), "does not let it list models", "permission at the host"),
        (from_http(402, None), "no credit left", "Add credit"),
        (from_http(429, None), "asked too often (429)", "in a minute"),
        (
            from_http(429, {"error": {"code": "insufficient_quota"}}),
            "no credit left",
            "raise the limit",
        ),
        (from_http(301, None), "redirect (301)", "base URL is not quite right"),
        (from_http(308, None), "redirect (308)", "https:// in place of http://"),
        (from_http(404, None), "nothing at https://host/models (404)", "such as /v1"),
        (from_http(405, None), "(405)", "such as /v1"),
        (from_http(400, None), "refused the question (400)", "kind of the provider"),
        (from_http(500, None), "problem of its own (500)", "status page"),
        (from_http(529, None), "problem of its own (529)", "few minutes"),
        (
            Failure(
                failure_class=FailureClass.MALFORMED_RESPONSE, message="No list.", http_status=200
            ),
            "not with a list of models.",
            "web page",
        ),
        (way("api.x cannot be reached: its name cannot be looked up."), "its name", "is spelt"),
        (way("api.x cannot be reached: connection refused."), "refused", "Nothing listens"),
        (way("api.x cannot be reached: no TLS connection can be made with it."), "TLS", "http://"),
        (
            way("api.x has no certificate that is trusted here. If its authority is your own, …"),
            "no certificate that is trusted here.",
            "If its authority",
        ),
        (way("api.x cannot be reached: no route to host."), "no route", "Check the base URL"),
        (
            way(
                "api.x leads to this machine or a private network, where nothing is sent. If that "
                "is meant, allow private addresses."
            ),
            "nothing is sent.",
            "allow private addresses",
        ),
        (way("The proxy p cannot be reached: connection refused."), "The proxy p", "the proxy"),
        (
            way("api.x did not answer within 15 seconds.", FailureClass.PROVIDER_TIMEOUT),
            "within 15 seconds",
            "firewall",
        ),
        (
            way("The variable X is not set where Palyra runs.", FailureClass.AUTH_INVALID),
            "The variable X is not set",
            "where it is looked for",
        ),
    ],
)
def test_a_failure_in_words(failure: Failure, cause: str, advice: str) -> None:
    found = diagnose(failure, url="https://host/models")

    assert cause in found.cause
    assert advice in found.advice


def test_a_key_that_was_not_sent_is_not_called_wrong() -> None:
    found = diagnose(from_http(401, None), has_key=False)

    assert "this provider has none" in found.cause
    assert found.advice == "Add a credential."


@pytest.mark.parametrize("failure_class", list(FailureClass))
@pytest.mark.parametrize("status", [None, 200, 400, 503])
def test_no_failure_is_left_without_words(failure_class: FailureClass, status: int | None) -> None:
    failure = Failure(failure_class=failure_class, message="Something.", http_status=status)

    found = diagnose(failure)

    assert found.cause.endswith(".")
    assert found.advice.endswith(".")
    assert "{" not in str(found)
    assert "None" not in str(found)


def test_an_address_is_said_without_what_signs_in() -> None:
    found = diagnose(from_http(404, None), url="http://ada:secret@host:8080/v1/models?key=other")

    assert "nothing at http://host:8080/v1/models (404)" in str(found)
