"""A whole answer, cut up for a client that asked for pieces."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from providers.adapters.chunks import split

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def completion(**message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Hi.", **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop", "extra": 1}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "nice",
        "system_fingerprint": "fp",
        "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_what_it_said_and_that_it_ended_and_what_it_took() -> None:
    chunks = list(split(completion(reasoning="Hm.")))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.body)
        assert chunk.body["system_fingerprint"] == "fp"
    said, ended, took = chunks
    assert said.body["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "Hi.", "reasoning": "Hm."},
            "finish_reason": None,
        }
    ]
    assert "usage" not in said.body
    assert ended.body["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop", "extra": 1}]
    assert took.usage_only
    assert took.body["usage"]["total_tokens"] == 5


def test_calls_are_told_apart_by_their_index() -> None:
    said = next(split(completion(content=None, tool_calls=[CALL, {**CALL, "id": "call_2"}])))
    calls = said.body["choices"][0]["delta"]["tool_calls"]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "call_1"), (1, "call_2")]


@pytest.mark.parametrize("usage", [None, ...])
def test_without_usage_there_is_no_chunk_for_it(usage: Any) -> None:
    whole = {**completion(), "usage": usage}
    if usage is ...:
        del whole["usage"]
    assert not any(chunk.usage_only for chunk in split(whole))


def test_an_answer_that_does_not_say_why_it_ended_has_ended() -> None:
    whole = completion()
    whole["choices"][0]["finish_reason"] = None
    assert [chunk.body["choices"][0]["finish_reason"] for chunk in list(split(whole))[:2]] == [
        None,
        "stop",
    ]
