"""The official clients understand the upstream, and each of its faults is the one it is named."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.support import anthropic_wire, faults, openai_wire
from tests.support.completions import EVERY_TOOL, USE_THE_TOOL, answer_text, vector_of
from tests.support.unreachable import NO_SUCH_HOST, refusing, tls_to_plain
from tests.support.upstream import Behaviour, Fault, Upstream, start_upstream

pytestmark = [pytest.mark.processes, pytest.mark.any_database]
MODEL = "upstream-small"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something."}]
USE_IT: list[ChatCompletionMessageParam] = [{"role": "user", "content": USE_THE_TOOL}]
SCHEMA: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": SCHEMA},
}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    for name in (MODEL, "models"):
        running.behave(name, Behaviour())
    running.require_credentials()
    running.forget()
    return running


@pytest.fixture
def open_ai(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="a-key", base_url=upstream.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    base_url = upstream.anthropic_base_url.removesuffix("/v1")
    with anthropic.Anthropic(api_key="a-key", base_url=base_url, max_retries=0) as client:
        yield client


# OpenAI's client


def test_openai_streams_an_answer_and_its_usage(upstream: Upstream, open_ai: openai.OpenAI) -> None:
    chunks = list(
        open_ai.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    (received,) = upstream.received(MODEL)
    usage = received.usage()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer_text(received.body, usage)
    assert len(chunks) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == usage.prompt
    assert chunks[-1].usage.completion_tokens == usage.completion
    assert received.answered


def test_openai_gets_no_usage_chunk_unasked(open_ai: openai.OpenAI) -> None:
    chunks = list(open_ai.chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_openai_calls_a_tool_and_reads_its_result(open_ai: openai.OpenAI) -> None:
    first = open_ai.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice="required"
    )
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "upstream"},
    )
    turn: Any = first.choices[0].message.model_dump(exclude_none=True)
    result: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "Rain.",
    }
    second = open_ai.chat.completions.create(
        model=MODEL, messages=[*QUESTION, turn, result], tools=[TOOL]
    )
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


def test_openai_streams_several_tool_calls(open_ai: openai.OpenAI) -> None:
    other: ChatCompletionToolParam = {
        "type": "function",
        "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}},
    }
    with open_ai.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": EVERY_TOOL}], tools=[TOOL, other]
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = [
        (call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
    assert calls == [("weather", {"city": "upstream"}), ("clock", {})]


def test_openai_is_answered_in_json(open_ai: openai.OpenAI) -> None:
    plain = open_ai.chat.completions.create(
        model=MODEL, messages=QUESTION, response_format={"type": "json_object"}
    )
    shaped = open_ai.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}},
    )
    assert json.loads(plain.choices[0].message.content or "") == {"answer": "upstream"}
    assert json.loads(shaped.choices[0].message.content or "") == {"city": "upstream"}


def test_openai_shows_an_image(open_ai: openai.OpenAI) -> None:
    answer = open_ai.chat.completions.create(
        model=MODEL,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            }
        ],
    )
    assert "1 images" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_reads_embeddings(open_ai: openai.OpenAI, encoding: Any) -> None:
    answer = open_ai.embeddings.create(
        model=MODEL, input=["one", "two"], dimensions=5, encoding_format=encoding
    )
    vectors: list[Any] = [entry.embedding for entry in answer.data]
    if encoding == "base64":
        vectors = [struct.unpack("<5f", base64.b64decode(vector)) for vector in vectors]
    assert [list(vector) for vector in vectors] == [
        pytest.approx(vector_of(text, 5), abs=1e-6) for text in ("one", "two")
    ]
    assert sum(number**2 for number in vectors[0]) == pytest.approx(1)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2


def test_openai_has_audio_written_down(upstream: Upstream, open_ai: openai.OpenAI) -> None:
    audio = ("speech.wav", b"RIFF" * 1000, "audio/wav")
    answer = open_ai.audio.transcriptions.create(model=MODEL, file=audio, language="en")
    assert answer.text == "The upstream heard 4000 bytes of speech.wav."
    text = open_ai.audio.transcriptions.create(model=MODEL, file=audio, response_format="text")
    assert str(text).strip() == answer.text
    long = open_ai.audio.transcriptions.create(
        model=MODEL, file=audio, response_format="verbose_json"
    )
    assert long.duration == 2.5
    received = upstream.received(MODEL)[0]
    assert received.body["file"]["content_type"] == "audio/wav"
    assert dict(received.body["fields"])["language"] == "en"
    assert answer.usage is not None and answer.usage.type == "tokens"
    assert answer.usage.input_tokens == received.usage().prompt
    assert answer.usage.output_tokens == received.usage().completion


def test_openai_lists_models(open_ai: openai.OpenAI) -> None:
    assert [model.id for model in open_ai.models.list()] == list(openai_wire.MODELS)


def test_openai_is_told_of_caches_and_reasoning(upstream: Upstream, open_ai: openai.OpenAI) -> None:
    upstream.behave(MODEL, Behaviour(cache_read=30, cache_write_5m=7, reasoning_tokens=5))
    answer = open_ai.chat.completions.create(model=MODEL, messages=QUESTION)
    usage = answer.usage
    assert usage is not None and usage.prompt_tokens_details and usage.completion_tokens_details
    assert usage.prompt_tokens_details.cached_tokens == 30
    assert usage.prompt_tokens > 37
    assert usage.completion_tokens_details.reasoning_tokens == 5
    assert usage.completion_tokens > 5
    extra = answer.choices[0].message.model_extra
    assert extra and extra["reasoning_content"]


# Anthropic's client


def test_anthropic_reads_an_answer_and_its_usage(
    upstream: Upstream, claude: anthropic.Anthropic
) -> None:
    answer = claude.messages.create(
        model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "Say something."}]
    )
    (received,) = upstream.received(MODEL)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == answer_text({"messages": QUESTION}, received.usage())
    assert answer.usage.input_tokens == received.usage().prompt
    assert answer.usage.output_tokens == received.usage().completion
    assert received.credential == "a-key"


def test_anthropic_streams_every_type_of_event(
    upstream: Upstream, claude: anthropic.Anthropic
) -> None:
    upstream.behave(
        MODEL, Behaviour(reasoning_tokens=9, cache_read=3, cache_write_5m=4, cache_write_1h=5)
    )
    with claude.messages.stream(
        model=MODEL, max_tokens=900, messages=[{"role": "user", "content": "Say something."}]
    ) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_message()
    raw = {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
    assert raw <= kinds
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].type == "thinking"
    assert message.content[0].signature == anthropic_wire.SIGNATURE
    usage, (received,) = message.usage, upstream.received(MODEL)
    told = received.usage(Behaviour(reasoning_tokens=9, cache_read=12))
    assert usage.input_tokens == told.prompt - 12
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (3, 9)
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == 5
    assert usage.output_tokens == told.completion


def test_a_streamed_message_has_pings(upstream: Upstream) -> None:
    reply = ask(upstream, "anthropic", stream=True)
    assert "event: ping" in reply.text


def test_anthropic_calls_a_tool_and_reads_its_result(claude: anthropic.Anthropic) -> None:
    tool: anthropic.types.ToolParam = {"name": "weather", "input_schema": SCHEMA}
    question: anthropic.types.MessageParam = {"role": "user", "content": USE_THE_TOOL}
    with claude.messages.stream(
        model=MODEL, max_tokens=99, messages=[question], tools=[tool]
    ) as stream:
        first = stream.get_final_message()
    (call,) = first.content
    assert call.type == "tool_use"
    assert (call.name, call.input, first.stop_reason) == (
        "weather",
        {"city": "upstream"},
        "tool_use",
    )
    first_turn: Any = {"role": "assistant", "content": [call.to_dict()]}
    second = claude.messages.create(
        model=MODEL,
        max_tokens=99,
        tools=[tool],
        messages=[
            question,
            first_turn,
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}],
            },
        ],
    )
    assert (second.content[0].type, second.stop_reason) == ("text", "end_turn")


def test_anthropic_lists_models_page_by_page(
    upstream: Upstream, claude: anthropic.Anthropic
) -> None:
    assert [model.id for model in claude.models.list()] == list(anthropic_wire.MODELS)
    assert len(upstream.requests()) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"n": 1}, "Extra inputs"),
        ({"messages": [{"role": "system", "content": "No."}]}, "role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "unknown", "content": "Rain."}
                        ],
                    }
                ]
            },
            "do not match",
        ),
        ({"tools": [{"name": "weather"}]}, "input_schema"),
    ],
)
def test_anthropic_refuses_what_the_real_host_would(
    upstream: Upstream, change: dict[str, Any], said: str
) -> None:
    reply = ask(upstream, "anthropic", **change)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert said in reply.json()["error"]["message"]


# Credentials, and how calls end


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


def body_of(protocol: str, **change: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"model": MODEL, "messages": QUESTION}
    if protocol == "anthropic":
        plain["max_tokens"] = 900
    else:
        plain["stream_options"] = {"include_usage": True} if change.get("stream") else None
    return {name: value for name, value in {**plain, **change}.items() if value is not None}


def ask(upstream: Upstream, protocol: str, *, timeout: float = 20, **change: Any) -> httpx.Response:
    """One call of the model as plain HTTP."""
    address = (
        f"{upstream.anthropic_base_url}/messages"
        if protocol == "anthropic"
        else f"{upstream.base_url}/chat/completions"
    )
    return httpx.post(
        address,
        json=body_of(protocol, **change),
        headers={"anthropic-version": anthropic_wire.VERSION},
        trust_env=False,
        timeout=timeout,
    )
