"""Anthropic's answers as OpenAI's: whole, and what is no answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from providers.adapters import anthropic
from providers.failures import Failure, FailureClass
from providers.requests import Answer, Outcome
from providers.transport import InboundAnswer
from providers.usage import Usage
from tests.providers.anthropic_reference import message
from tests.providers.entries import anthropic_entry, chat_request, model_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = chat_request(model_entry(anthropic_entry(), name="nice", upstream_name="claude-x"))
TEXT = {"type": "text", "text": "Hi."}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Ulm"}}


def decoded(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Outcome:
    return anthropic.decode(InboundAnswer(status, body, headers or {}), REQUEST, now=NOW)


def answered(*content: Any, **fields: Any) -> Answer:
    outcome = decoded(message(*content, **fields))
    assert isinstance(outcome, Answer)
    ChatCompletion.model_validate(outcome.body)
    return outcome


def choice(*content: Any, **fields: Any) -> Any:
    (one,) = answered(*content, **fields).body["choices"]
    return one


def test_a_whole_answer() -> None:
    answer = answered(TEXT)
    assert answer.usage == Usage(uncached_input=10, output=5)
    assert answer.body == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": int(NOW.timestamp()),
        "model": "nice",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
        (None, "stop"),
    ],
)
def test_each_reason_to_stop(stop_reason: Any, finish_reason: str) -> None:
    one = choice(TEXT, stop_reason=stop_reason)
    assert one["finish_reason"] == finish_reason
    assert one["native_finish_reason"] == stop_reason


def test_calls_without_a_reason_are_calls() -> None:
    assert choice(USE, stop_reason=None)["finish_reason"] == "tool_calls"


def test_tool_uses_are_tool_calls() -> None:
    second = {**USE, "id": "toolu_2", "input": {}}
    said = choice(TEXT, USE, second, stop_reason="tool_use")["message"]
    assert said["content"] == "Hi."
    assert said["tool_calls"] == [
        {
            "id": "toolu_1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"city":"Ulm"}'},
        },
        {"id": "toolu_2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]


def test_calls_alone_have_no_content_and_nothing_at_all_is_empty() -> None:
    assert choice(USE)["message"]["content"] is None
    assert choice()["message"]["content"] == ""


def test_texts_are_one_and_unknown_blocks_are_passed_over() -> None:
    more = {"type": "text", "text": " Bye.", "citations": None}
    server = {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}
    assert choice(TEXT, server, more)["message"]["content"] == "Hi. Bye."


def test_thoughts_are_kept_with_their_signatures() -> None:
    thoughts = [
        {"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "thinking", "thinking": "Ah.", "signature": "c2ln2"},
    ]
    said = choice(*thoughts, TEXT)["message"]
    assert said["reasoning_content"] == "Hm. Ah."
    assert said["thinking_blocks"] == thoughts
    assert said["content"] == "Hi."


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    one = choice(TEXT, stop_reason="refusal", stop_details=details)
    assert one["message"]["refusal"] == "Not this."


def test_usage_with_cache_and_thinking() -> None:
    answer = answered(
        TEXT,
        usage={
            "input_tokens": 10,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 40},
        },
    )
    assert answer.usage == Usage(
        uncached_input=10, cache_read=100, cache_write_5m=10, cache_write_1h=20, output=50
    )
    assert answer.body["usage"] == {
        "prompt_tokens": 140,
        "completion_tokens": 50,
        "total_tokens": 190,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": -1, "output_tokens": 1}])
def test_an_answer_without_usage_says_so(usage: Any) -> None:
    answer = answered(TEXT, usage=usage)
    assert answer.usage is None
    assert "usage" not in answer.body


DEEP: Any = 1
for _ in range(400):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="not JSON"),
        pytest.param("text", id="text"),
        pytest.param([], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"content": None}, id="null content"),
        pytest.param({"content": "Hi."}, id="content that is text"),
        pytest.param({"content": ["Hi."]}, id="a block that is text"),
        pytest.param(message({"type": "text"}), id="a text without text"),
        pytest.param(message({"type": "tool_use", "name": "x", "input": "{}"}), id="odd input"),
        pytest.param(message({**USE, "input": DEEP}), id="arguments too deep"),
        pytest.param(message({"text": "Hi."}), id="a block without a type"),
        pytest.param({"choices": [{"message": {"content": "Hi."}}]}, id="OpenAI's answer"),
    ],
)
def test_what_is_no_message_is_malformed_and_may_be_billed(body: Any) -> None:
    outcome = decoded(body)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.MALFORMED_RESPONSE
    assert outcome.may_be_billed


@pytest.mark.parametrize("status", [200, 529])
def test_an_error_is_a_failure_whatever_the_status(status: int) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    outcome = decoded(body, status, {"retry-after-ms": "250"})
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.TRANSIENT_UPSTREAM
    assert outcome.retry_after == 0.25
    assert "Overloaded" in outcome.message


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "type", "text", "usage", "error", "input", "name", "id"]),
            inner | st.sampled_from(["text", "tool_use", "thinking", "error"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(body=json, content=st.lists(json, max_size=3))
def test_any_answer_has_an_outcome(body: Any, content: list[Any]) -> None:
    for one in (body, {"content": body}, {"content": content}):
        assert isinstance(decoded(one), Answer | Failure)
