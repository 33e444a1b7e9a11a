"""The upstream that stands in for a provider does what the process tests rely on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tests.support.completions import answer_text, usage_of
from tests.support.processes import ChildProcess, alive, eventually, free_port
from tests.support.upstream import Behaviour, Fault, Upstream, start_upstream

pytestmark = [pytest.mark.processes, pytest.mark.any_database]
MODEL = "upstream-small"


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    running.behave(MODEL, Behaviour())
    running.forget()
    return running


def request_body(prompt: str = "Say something.", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **more}


def ask(upstream: Upstream, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{upstream.base_url}/chat/completions", json=body, trust_env=False)


def test_the_official_client_reads_the_answer_and_its_usage(upstream: Upstream) -> None:
    with openai.OpenAI(api_key="a-key", base_url=upstream.base_url) as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say something."}], max_tokens=7
        )
        models = [model.id for model in client.models.list()]
    usage = usage_of(request_body(max_tokens=7), Behaviour())
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == usage.prompt
    assert answer.usage.completion_tokens == usage.completion <= 7
    assert answer.choices[0].message.content == answer_text(request_body(), usage)
    assert MODEL in models


def test_it_records_what_it_received(upstream: Upstream) -> None:
    headers = {"Authorization": "Bearer a-key"}
    httpx.get(f"{upstream.base_url}/models", headers=headers, trust_env=False)
    ask(upstream, request_body("Remember me.", max_tokens=100, max_completion_tokens=40))
    listed, asked = upstream.requests()
    assert (listed.method, listed.path) == ("GET", "/v1/models")
    assert listed.headers["authorization"] == "Bearer a-key"
    assert (asked.prompt, asked.output_cap) == ("Remember me.", 40)
    assert upstream.received(MODEL) == [asked]
    assert upstream.received("another-model") == []
    upstream.forget()
    assert upstream.requests() == []


def test_the_same_prompt_is_answered_the_same(upstream: Upstream) -> None:
    first, second = (ask(upstream, request_body()).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["choices"] == second["choices"]
    assert first["usage"] == second["usage"]


def test_token_counts_can_be_given(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(prompt_tokens=11, completion_tokens=22))
    usage = ask(upstream, request_body()).json()["usage"]
    assert usage == {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33}
    capped = ask(upstream, request_body(max_tokens=5)).json()
    assert capped["usage"]["completion_tokens"] == 5
    assert capped["choices"][0]["finish_reason"] == "length"


def test_a_held_call_waits_until_it_is_released(upstream: Upstream) -> None:
    upstream.hold(MODEL)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(ask, upstream, request_body(str(number))) for number in range(2)]
        upstream.wait_for_calls(MODEL, 2)
        assert not any(call.done() for call in calls)
        upstream.release(MODEL)
        assert [call.result().status_code for call in calls] == [200, 200]


def test_it_says_how_many_calls_arrived_when_too_few_did(upstream: Upstream) -> None:
    ask(upstream, request_body())
    with pytest.raises(AssertionError, match=r"1 calls of .* arrived, not 2"):
        upstream.wait_for_calls(MODEL, 2, patience=0.05)


def test_an_error_has_the_status_code_and_headers_asked_for(upstream: Upstream) -> None:
    upstream.behave(
        MODEL,
        Behaviour(
            status=429,
            error_type="requests",
            error_code="rate_limit_exceeded",
            headers={"retry-after": "3"},
        ),
    )
    reply = ask(upstream, request_body())
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "3"
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"
    assert reply.json()["error"]["type"] == "requests"


def test_malformed_json_in_a_success(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.MALFORMED_JSON))
    reply = ask(upstream, request_body())
    assert reply.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        reply.json()


def test_an_answer_without_usage(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.NO_USAGE))
    assert "usage" not in ask(upstream, request_body()).json()


def test_an_answer_beyond_the_cap(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.BEYOND_CAP))
    usage = ask(upstream, request_body(max_tokens=10)).json()["usage"]
    assert usage["completion_tokens"] == 510


def test_a_dropped_connection(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(fault=Fault.DROPPED))
    with pytest.raises(httpx.TransportError):
        ask(upstream, request_body())
    assert len(upstream.received(MODEL)) == 1


def test_latency_is_waited_before_the_answer(upstream: Upstream) -> None:
    upstream.behave(MODEL, Behaviour(latency=0.2))
    assert ask(upstream, request_body()).elapsed.total_seconds() >= 0.2


def test_a_child_that_ends_early_is_reported_with_its_output() -> None:
    process = ChildProcess("brief", [sys.executable, "-c", "print('only this')"])
    with pytest.raises(AssertionError, match=r"(?s)before it ended.*only this"):
        process.wait_for_line("ready")
    assert process.stop() == 0


def test_stopping_a_child_leaves_none_of_its_own_behind() -> None:
    program = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print('child', child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    process = ChildProcess("parent", [sys.executable, "-c", program])
    child = int(process.wait_for_line(r"^child (\d+)$")[1])
    assert alive(child)
    assert process.stop() == 0
    eventually(lambda: alive(child), lambda running: not running, what="the child is gone")


def test_a_line_is_awaited_from_where_the_reader_stands() -> None:
    program = "import sys\nfor line in sys.stdin: print('again', line.strip(), flush=True)"
    with ChildProcess("echo", [sys.executable, "-c", program]) as process:
        process.write_line("1")
        assert process.wait_for_line(r"again (\d)")[1] == "1"
        seen = len(process.lines)
        threading.Timer(0.05, process.write_line, ["2"]).start()
        assert process.wait_for_line(r"again (\d)", after=seen)[1] == "2"
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_eventually_names_what_never_came() -> None:
    with pytest.raises(AssertionError, match="the sea is dry: still not so, last read 7"):
        eventually(lambda: 7, lambda value: value == 8, what="the sea is dry", patience=0.05)


def test_free_ports_are_ports() -> None:
    assert 1024 <= free_port() <= 65535
