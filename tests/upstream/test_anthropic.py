"""Anthropic's official client understands the upstream."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.support import anthropic_wire
from tests.support.completions import USE_THE_TOOL, answer_text
from tests.support.upstream import Behaviour, Upstream
from tests.upstream.asking import MODEL, QUESTION, SCHEMA, ask

pytestmark = [pytest.mark.processes, pytest.mark.any_database]


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
