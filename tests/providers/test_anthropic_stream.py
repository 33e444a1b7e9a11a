"""Anthropic's events as OpenAI's chunks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from providers.adapters import StreamDecoder, StreamFailed, anthropic
from providers.failures import Failure, FailureClass
from providers.requests import Chunk
from providers.sse import ServerSentEvent
from providers.usage import Usage
from tests.providers.anthropic_reference import events_of, message, sent_event
from tests.providers.entries import anthropic_entry, chat_request, model_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = chat_request(
    model_entry(anthropic_entry(), name="nice", upstream_name="claude-x"), stream=True
)
TEXT = {"type": "text", "text": "Hi there."}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Ulm"}}
THOUGHT = {"type": "thinking", "thinking": "Hm. Ah.", "signature": "c2ln"}


def decoder() -> StreamDecoder:
    return anthropic.stream_decoder(REQUEST, now=NOW)


def fed(stream: StreamDecoder, *events: dict[str, Any]) -> list[Chunk]:
    chunks = [chunk for event in events for chunk in stream.feed(sent_event(event))]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.body)
    return chunks


def streamed(*content: Any, **fields: Any) -> tuple[list[Chunk], StreamDecoder]:
    stream = decoder()
    return fed(stream, *events_of(message(*content, **fields))), stream


def deltas(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk.body["choices"]]


def test_a_text_in_pieces() -> None:
    chunks, stream = streamed(TEXT)
    assert deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"content": "Hi "},
        {"content": "the"},
        {"content": "re."},
        {},
    ]
    assert [chunk.substance for chunk in chunks] == [False, True, True, True, True, False]
    assert {(c.body["id"], c.body["model"], c.body["created"]) for c in chunks} == {
        ("msg_1", "nice", int(NOW.timestamp()))
    }
    assert chunks[-2].body["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2].body["choices"][0]["native_finish_reason"] == "end_turn"
    assert [chunk.usage_only for chunk in chunks] == [False] * 5 + [True]
    assert chunks[-1].body["usage"]["prompt_tokens"] == 10
    assert stream.ended
    assert stream.close() is None
    assert stream.usage == Usage(uncached_input=10, output=5)


def test_a_call_has_its_index_and_its_arguments_in_pieces() -> None:
    second = {**USE, "id": "toolu_2", "input": {}}
    chunks, _ = streamed(TEXT, USE, second, stop_reason="tool_use")
    calls = [delta["tool_calls"] for delta in deltas(chunks) if "tool_calls" in delta]
    assert calls[0] == [
        {
            "index": 0,
            "id": "toolu_1",
            "type": "function",
            "function": {"name": "look", "arguments": ""},
        }
    ]
    first = "".join(c[0]["function"]["arguments"] for c in calls if c[0]["index"] == 0)
    assert orjson.loads(first) == {"city": "Ulm"}
    assert [c[0]["function"]["arguments"] for c in calls if c[0]["index"] == 1] == ["", "{}"]
    assert chunks[-2].body["choices"][0]["finish_reason"] == "tool_calls"


def test_arguments_that_come_at_once_are_not_lost() -> None:
    stream = decoder()
    start, _ping, *_ = events_of(message())
    chunks = fed(
        stream,
        start,
        {"type": "content_block_start", "index": 0, "content_block": USE},
        {"type": "content_block_stop", "index": 0},
    )
    calls = [delta["tool_calls"] for delta in deltas(chunks) if "tool_calls" in delta]
    assert calls[-1] == [{"index": 0, "function": {"arguments": '{"city":"Ulm"}'}}]


def test_thoughts_are_reasoning_and_come_whole_with_their_signature() -> None:
    hidden = {"type": "redacted_thinking", "data": "opaque"}
    chunks, _ = streamed(THOUGHT, hidden, TEXT)
    found = deltas(chunks)
    assert "".join(delta.get("reasoning_content", "") for delta in found) == "Hm. Ah."
    blocks = [one for delta in found for one in delta.get("thinking_blocks", [])]
    assert blocks == [THOUGHT, hidden]


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": None, "explanation": "Not this."}
    chunks, _ = streamed(TEXT, stop_reason="refusal", stop_details=details)
    assert {"refusal": "Not this."} in deltas(chunks)
    assert chunks[-2].body["choices"][0]["finish_reason"] == "content_filter"


# --- Usage ----------------------------------------------------------------------------------------


def delta(usage: Any, stop_reason: str | None = "end_turn") -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}


def begun(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {**message(), "usage": usage}}


STOP = {"type": "message_stop"}


def test_usage_is_cumulative_so_the_last_counts_and_nothing_is_added_up() -> None:
    stream = decoder()
    split = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}
    start = begun(
        input_tokens=10, cache_creation_input_tokens=30, cache_creation=split, output_tokens=1
    )
    fed(
        stream,
        start,
        delta({"output_tokens": 7}, None),
        delta({"input_tokens": 12, "cache_read_input_tokens": None, "output_tokens": 9}),
        STOP,
    )
    assert stream.usage == Usage(uncached_input=12, cache_write_5m=10, cache_write_1h=20, output=9)


def test_hosts_may_count_the_cache_only_at_the_end() -> None:
    stream = decoder()
    final = {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 9}
    chunks = fed(stream, begun(input_tokens=0, output_tokens=0), delta(final), STOP)
    assert stream.usage == Usage(uncached_input=5, cache_read=100, output=9)
    assert chunks[-1].body["usage"]["prompt_tokens"] == 105


def test_before_the_end_the_output_is_an_estimate_of_what_was_generated() -> None:
    stream = decoder()
    assert stream.usage is None
    start, ping, *rest = events_of(message({"type": "text", "text": "x" * 400}), cuts=100)
    fed(stream, start, ping)
    assert stream.usage == Usage(uncached_input=10, output=1, reported=False)
    fed(stream, *rest[:3])
    assert stream.usage == Usage(uncached_input=10, output=50, reported=False)


def test_a_host_that_never_says_what_it_took() -> None:
    stream = decoder()
    start = {"type": "message_start", "message": {**message(), "usage": None}}
    chunks = fed(stream, start, {"type": "message_delta", "delta": {}}, STOP)
    assert stream.usage is None
    assert not any(chunk.usage_only for chunk in chunks)
    assert stream.close() is None


# --- Bad days -------------------------------------------------------------------------------------


@given(cut=st.integers(0, 11))
def test_an_answer_that_breaks_off_anywhere_has_no_clean_ending(cut: int) -> None:
    events = events_of(message(TEXT, USE))
    stream = decoder()
    chunks = fed(stream, *events[: min(cut, len(events) - 1)])
    failure = stream.close()
    assert isinstance(failure, Failure)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.may_be_billed
    finishes = [one["finish_reason"] for c in chunks for one in c.body["choices"]]
    assert set(finishes) <= {None}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", FailureClass.TRANSIENT_UPSTREAM),
        ("api_error", FailureClass.TRANSIENT_UPSTREAM),
        ("rate_limit_error", FailureClass.RATE_LIMITED),
        ("something_new", FailureClass.TRANSIENT_UPSTREAM),
    ],
)
def test_an_error_in_mid_stream_is_a_failure(kind: str, expected: FailureClass) -> None:
    stream = decoder()
    fed(stream, *events_of(message(TEXT))[:4])
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    with pytest.raises(StreamFailed) as caught:
        stream.feed(sent_event(error))
    assert caught.value.failure.failure_class is expected
    assert caught.value.failure.may_be_billed
    assert caught.value.failure.message == "The provider broke off its answer: Overloaded"


def test_pings_and_what_is_new_are_passed_over() -> None:
    stream = decoder()
    fed(stream, begun(input_tokens=1, output_tokens=1))
    for name, data in [
        ("ping", '{"type": "ping"}'),
        ("new", '{"type": "new"}'),
        ("", ""),
        ("", "[DONE]"),
    ]:
        assert stream.feed(ServerSentEvent(name, data)) == []


def test_the_name_of_the_event_stands_in_for_its_type() -> None:
    stream = decoder()
    data = orjson.dumps({"message": message()}).decode()
    assert stream.feed(ServerSentEvent("message_start", data))


@pytest.mark.parametrize(
    "data",
    [
        "nonsense",
        "[]",
        "5",
        '{"type": "message_stop"}',
        '{"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}}',
    ],
)
def test_what_is_no_event_of_a_message_is_malformed(data: str) -> None:
    with pytest.raises(StreamFailed) as caught:
        decoder().feed(ServerSentEvent("", data))
    assert caught.value.failure.failure_class is FailureClass.MALFORMED_RESPONSE


KINDS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "thinking_delta",
    "signature_delta",
    "text",
    "tool_use",
    "thinking",
]
FIELDS = ["type", "message", "content_block", "delta", "usage", "index", "text", "input", "id"]
json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(KINDS) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=10,
)
events = st.lists(
    st.builds(
        lambda kind, fields: {**fields, "type": kind},
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(FIELDS), json, max_size=4),
    ),
    max_size=5,
)


@given(given_events=events)
def test_no_event_raises_anything_else(given_events: list[dict[str, Any]]) -> None:
    stream = decoder()
    try:
        for event in given_events:
            stream.feed(sent_event(event))
    except StreamFailed:
        return
    stream.close()
    assert stream.usage is None or stream.usage.total >= 0
