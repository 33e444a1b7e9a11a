"""OpenAI's official client understands the upstream."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.support import openai_wire
from tests.support.completions import EVERY_TOOL, answer_text, vector_of
from tests.support.upstream import Behaviour, Upstream
from tests.upstream.asking import MODEL, QUESTION, SCHEMA

pytestmark = [pytest.mark.processes, pytest.mark.any_database]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": SCHEMA},
}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


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
