"""OpenAI's chunks as they stream: passed on as they are, and complete or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters import StreamDecoder, StreamFailed, openai_compatible
from providers.failures import FailureClass
from providers.requests import Chunk
from providers.sse import ServerSentEvent
from providers.usage import Usage
from tests.providers.entries import chat_request, model_entry, remote_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def decoder(**body: Any) -> StreamDecoder:
    model = model_entry(remote_entry("https://models.example.com/v1"), name="nice")
    return openai_compatible.stream_decoder(chat_request(model, stream=True, **body), now=NOW)


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "vendor/nice-1",
        "choices": list(choices),
        **fields,
    }


def said(text: str, index: int = 0) -> dict[str, Any]:
    return chunk({"index": index, "delta": {"content": text}, "finish_reason": None})


def finished(index: int = 0, reason: str = "stop") -> dict[str, Any]:
    return chunk({"index": index, "delta": {}, "finish_reason": reason})


def event(data: Any, name: str = "") -> ServerSentEvent:
    return ServerSentEvent(name, data if isinstance(data, str) else orjson.dumps(data).decode())


def fed(stream: StreamDecoder, *events: Any) -> list[Chunk]:
    return [chunk for one in events for chunk in stream.feed(event(one))]


def failed(stream: StreamDecoder, one: ServerSentEvent) -> StreamFailed:
    with pytest.raises(StreamFailed) as caught:
        stream.feed(one)
    return caught.value


def test_chunks_pass_as_they_are_under_the_clients_name() -> None:
    sent = chunk(
        {"index": 0, "delta": {"content": "Hi", "reasoning": "hm"}, "finish_reason": None, "x": 1},
        system_fingerprint="fp",
        obfuscation="abc",
    )
    (got,) = fed(decoder(), sent)
    assert got == Chunk({**sent, "model": "nice"})


@pytest.mark.parametrize(
    ("delta", "substance"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None, "refusal": None, "tool_calls": []}, False),
        ({}, False),
        ({"content": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"refusal": "No."}, True),
        ({"tool_calls": [{"index": 0, "id": "call_1"}]}, True),
    ],
)
def test_only_what_was_generated_is_of_substance(delta: dict[str, Any], substance: bool) -> None:
    (got,) = fed(decoder(), chunk({"index": 0, "delta": delta, "finish_reason": None}))
    assert got.substance is substance


def test_the_usage_chunk_is_marked_and_counted() -> None:
    stream = decoder()
    assert stream.usage is None
    chunks = fed(stream, said("Hi"), finished(), chunk(usage=USAGE), "[DONE]")
    assert [one.usage_only for one in chunks] == [False, False, True]
    assert not chunks[-1].substance
    assert stream.usage == Usage(uncached_input=3, output=2)
    assert stream.ended
    assert stream.close() is None


def test_usage_beside_a_choice_is_counted_and_no_usage_chunk() -> None:
    stream = decoder()
    last = {**finished(), "usage": USAGE}
    (_, got) = fed(stream, {**said("Hi"), "usage": None}, last)
    assert not got.usage_only
    assert stream.usage == Usage(uncached_input=3, output=2)


def test_the_filters_results_come_before_anything_and_are_passed_on() -> None:
    (got,) = fed(decoder(), chunk(prompt_filter_results=[{"prompt_index": 0}]))
    assert (got.substance, got.usage_only) == (False, False)


def test_signs_of_life_are_not_chunks() -> None:
    assert fed(decoder(), "", {"type": "ping"}, {"object": "keepalive"}) == []


@pytest.mark.parametrize(
    ("events", "choices"),
    [
        pytest.param([said("Hi"), finished(), "[DONE]"], 1, id="finished and done"),
        pytest.param([said("Hi"), finished()], 1, id="finished"),
        pytest.param([said("Hi"), "[DONE]"], 1, id="done"),
        pytest.param([finished(0), finished(1)], 2, id="both finished"),
        pytest.param([said("Hi"), finished(), "[DONE]", said("more")], 1, id="more after the end"),
        pytest.param([finished(), "[DONE]"], 2, id="a host that gives one choice"),
    ],
)
def test_a_complete_answer(events: list[Any], choices: int) -> None:
    stream = decoder(n=choices)
    fed(stream, *events)
    assert stream.close() is None


@pytest.mark.parametrize(
    ("events", "choices"),
    [
        pytest.param([], 1, id="nothing"),
        pytest.param([said("Hi")], 1, id="cut after a word"),
        pytest.param([chunk(usage=USAGE)], 1, id="usage alone"),
        pytest.param(["[DONE]"], 1, id="an end without an answer"),
        pytest.param([finished(0), said("Hi", 1)], 2, id="one of two finished"),
        pytest.param([said("Hi"), finished(0)], 2, id="the second never came"),
    ],
)
def test_an_answer_that_breaks_off_is_malformed_and_may_be_billed(
    events: list[Any], choices: int
) -> None:
    stream = decoder(n=choices)
    fed(stream, *events)
    failure = stream.close()
    assert failure is not None
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.may_be_billed


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ({"error": {"message": "Fell over."}}, "", FailureClass.TRANSIENT_UPSTREAM),
        ({"error": {"message": "Slow.", "code": 429}}, "", FailureClass.RATE_LIMITED),
        ({"error": "Fell over."}, "", FailureClass.TRANSIENT_UPSTREAM),
        ({"message": "Fell over."}, "error", FailureClass.TRANSIENT_UPSTREAM),
        # vLLM's and Mistral's own form, after which vLLM still says that it is done.
        (
            {"object": "error", "message": "Fell over.", "type": "BadRequestError", "code": 400},
            "",
            FailureClass.PERMANENT_UPSTREAM,
        ),
        (
            chunk({"index": 0, "delta": {}, "error": {"message": "Slow.", "code": 429}}),
            "",
            FailureClass.RATE_LIMITED,
        ),
        (
            {"error": {"message": "No.", "code": "content_filter"}},
            "",
            FailureClass.CONTENT_POLICY_BLOCKED,
        ),
    ],
)
def test_an_error_in_mid_stream_is_a_failure(data: Any, name: str, expected: FailureClass) -> None:
    stream = decoder()
    fed(stream, said("Hi"))
    failure = failed(stream, event(data, name)).failure
    assert failure.failure_class is expected
    assert failure.may_be_billed
    assert failure.message.startswith("The provider broke off its answer: ")


def test_a_choice_that_finished_with_an_error_is_not_complete() -> None:
    stream = decoder()
    fed(stream, said("Hi"))
    failure = failed(stream, event(finished(reason="error"))).failure
    assert failure.failure_class is FailureClass.TRANSIENT_UPSTREAM
    assert failure.may_be_billed


def test_a_refusal_before_anything_is_not_billed() -> None:
    failure = failed(decoder(), event({"error": {"code": 429, "message": "Slow."}})).failure
    assert not failure.may_be_billed


@pytest.mark.parametrize("data", ["nonsense", "[]", "3", '{"choices": 5}', '{"choices": [5]}'])
def test_what_is_no_chunk_is_malformed(data: str) -> None:
    failure = failed(decoder(), event(data)).failure
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "usage", "index", "content", "error", "code"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(events=st.lists(json, max_size=4))
def test_no_event_raises_anything_else(events: list[Any]) -> None:
    stream = decoder()
    try:
        fed(stream, *[orjson.dumps(one).decode() for one in events])
    except StreamFailed:
        return
    stream.close()
