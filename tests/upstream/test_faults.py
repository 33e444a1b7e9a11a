"""Each of the upstream's faults is the one it is named."""

from __future__ import annotations

import json
import time

import anthropic
import httpx
import openai
import pytest

from tests.support import faults
from tests.support.unreachable import NO_SUCH_HOST, refusing, tls_to_plain
from tests.support.upstream import Behaviour, Fault, Upstream
from tests.upstream.asking import MODEL, QUESTION, ask, body_of

pytestmark = [pytest.mark.processes, pytest.mark.any_database]


def test_only_the_credentials_that_are_required_are_accepted(
    upstream: Upstream, open_ai: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    upstream.require_credentials("another-key")
    with pytest.raises(openai.AuthenticationError):
        open_ai.chat.completions.create(model=MODEL, messages=QUESTION)
    with pytest.raises(anthropic.AuthenticationError):
        claude.models.list()
    upstream.require_credentials("another-key", "a-key")
    assert open_ai.chat.completions.create(model=MODEL, messages=QUESTION).choices
    assert claude.models.list().data


def test_a_call_that_was_given_up_is_noticed_at_once(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.HANGS_IN_BODY, after=2))
    with httpx.Client(trust_env=False) as client:
        address = f"{upstream.base_url}/chat/completions"
        with client.stream("POST", address, json=body_of("openai", stream=True)) as reply:
            lines = reply.iter_lines()
            while "answer" not in next(lines):
                pass
            gone_at = time.monotonic()
    upstream.wait_for_disconnects(MODEL, 1, patience=10)
    (received,) = upstream.received(MODEL)
    assert received.disconnected_at is not None
    assert 0 <= received.disconnected_at - gone_at < 1
    assert not received.answered
    with pytest.raises(AssertionError, match=r"1 clients of .* went away, not 2"):
        upstream.wait_for_disconnects(MODEL, 2, patience=0.05)


def test_what_was_answered_is_counted(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(status=500, times=1))
    httpx.get(f"{upstream.base_url}/models", trust_env=False).raise_for_status()
    assert [ask(upstream, "openai").status_code for _ in range(3)] == [500, 200, 200]
    assert (upstream.arrived(), upstream.answered()) == (3, 2)
    assert (upstream.arrived(MODEL), upstream.answered(MODEL)) == (3, 2)
    assert [received.answered for received in upstream.received(MODEL)] == [False, True, True]


def test_calls_fail_at_random_but_always_the_same_ones(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(status=500, percent=30, seed=4))
    failed = [ask(upstream, "openai").status_code == 500 for _ in range(60)]
    numbers = [received.number for received in upstream.received(MODEL)]
    assert failed == [faults.struck(4, number, 30) for number in numbers]
    assert 5 < sum(failed) < 35
    assert sum(faults.struck(4, number, 30) for number in range(10_000)) == pytest.approx(3000, 0.1)


# Faults


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "anthropic_type"),
    [
        (faults.INVALID_KEY, "authentication_error"),
        (faults.FORBIDDEN, "permission_error"),
        (faults.NOT_FOUND, "not_found_error"),
        (faults.TIMED_OUT, "invalid_request_error"),
        (faults.CONFLICT, "invalid_request_error"),
        (faults.TOO_LARGE, "request_too_large"),
        (faults.RATE_LIMITED_SHORTLY, "rate_limit_error"),
        (faults.OUT_OF_QUOTA, "rate_limit_error"),
        (faults.INTERNAL_ERROR, "api_error"),
        (faults.OVERLOADED, "overloaded_error"),
        (Behaviour(fault=Fault.ERROR_IN_SUCCESS), "api_error"),
    ],
)
def test_errors_are_in_the_protocols_shape(
    upstream: Upstream, protocol: str, stream: bool, behaviour: Behaviour, anthropic_type: str
) -> None:
    upstream.behave(MODEL, behaviour)
    reply = ask(upstream, protocol, stream=stream)
    said = reply.json()["error"]
    assert reply.status_code == behaviour.status
    assert behaviour.headers.items() <= reply.headers.items()
    if protocol == "openai":
        assert (said["type"], said["code"]) == (behaviour.error_type, behaviour.error_code)
    else:
        assert (reply.json()["type"], said["type"]) == ("error", anthropic_type)
        out_of_quota = behaviour == faults.OUT_OF_QUOTA
        assert ("details" in said) == out_of_quota


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.DROPPED, httpx.TransportError),
        (Fault.DROPPED_IN_BODY, httpx.RemoteProtocolError),
        (Fault.HANGS_BEFORE_HEADERS, httpx.ReadTimeout),
        (Fault.HANGS_IN_BODY, httpx.ReadTimeout),
    ],
)
def test_an_answer_that_never_comes(
    upstream: Upstream, protocol: str, stream: bool, fault: Fault, error: type[Exception]
) -> None:
    upstream.behave(MODEL, Behaviour(fault=fault, after=2))
    with pytest.raises(error):
        ask(upstream, protocol, timeout=0.3, stream=stream)
    assert upstream.answered(MODEL) == 0


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_truncated_answer_is_shorter_than_was_promised(upstream: Upstream, protocol: str) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.TRUNCATED))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(upstream, protocol)


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("fault", "last"),
    [
        (Fault.TRUNCATED, "answer "),
        (Fault.ERROR_EVENT, '"error"'),
        (Fault.MALFORMED_JSON, ""),
    ],
)
def test_a_stream_that_ends_badly(
    upstream: Upstream, protocol: str, fault: Fault, last: str
) -> None:
    upstream.behave(MODEL, Behaviour(fault=fault, after=2))
    text = ask(upstream, protocol, stream=True).text
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    assert text.count("answer ") == 1
    assert "[DONE]" not in text and "message_stop" not in text
    assert last in lines[-1]
    if fault is Fault.MALFORMED_JSON:
        with pytest.raises(ValueError, match="line 1"):
            json.loads(lines[-1].removeprefix("data: "))


@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_megabytes(upstream: Upstream, stream: bool) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.HUGE))
    size = 0
    address = f"{upstream.base_url}/chat/completions"
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", address, json=body_of("openai", stream=stream)) as reply,
    ):
        for part in reply.iter_raw():
            size += len(part)
    assert size > faults.HUGE_BYTES
    assert "content-length" not in reply.headers


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_usage(upstream: Upstream, protocol: str, stream: bool) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.NO_USAGE))
    text = ask(upstream, protocol, stream=stream).text
    assert "usage" not in text and "_tokens" not in text
    assert upstream.answered(MODEL) == 1


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
def test_slow_pieces_take_their_time(upstream: Upstream, protocol: str, stream: bool) -> None:
    upstream.behave(MODEL, Behaviour(pause=0.05))
    assert ask(upstream, protocol, stream=stream).elapsed.total_seconds() >= 0.2
    assert upstream.answered(MODEL) == 1


def test_unreachable_addresses_are_unreachable(upstream: Upstream) -> None:
    with refusing() as refused:
        for address in (refused, NO_SUCH_HOST, tls_to_plain(upstream.base_url)):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/models", trust_env=False)
