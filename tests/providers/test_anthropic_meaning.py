"""Whatever is said means the same in either protocol, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from providers.adapters import Untranslatable, anthropic
from providers.requests import Answer
from providers.transport import InboundAnswer
from tests.providers.anthropic_reference import (
    assert_understood,
    events_of,
    meaning_of_anthropic,
    meaning_of_openai,
    message,
    sent_event,
)
from tests.providers.entries import anthropic_entry, chat_request, model_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = model_entry(anthropic_entry(), name="nice", upstream_name="claude-haiku-4-5")

words = st.text(min_size=1, max_size=12).map(lambda text: f"{text}.")
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
ids = st.from_regex(r"(call|toolu)_[A-Za-z0-9]{1,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(names, values, max_size=3)
base64 = st.from_regex(r"[A-Za-z0-9+/]{4,8}", fullmatch=True)
images = st.builds("data:image/{};base64,{}".format, st.sampled_from(["png", "webp"]), base64) | (
    st.just("https://example.com/a.png")
)
text_parts = words.map(lambda text: {"type": "text", "text": text})
image_parts = images.map(lambda url: {"type": "image_url", "image_url": {"url": url}})
contents = words | st.lists(text_parts | image_parts, min_size=1, max_size=3)
signatures = st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True)
thoughts = st.builds(
    lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature},
    st.text(max_size=10),
    signatures,
) | signatures.map(lambda data: {"type": "redacted_thinking", "data": data})

systems = st.builds(
    lambda role, text: [{"role": role, "content": text}],
    st.sampled_from(["system", "developer"]),
    words | st.lists(text_parts, min_size=1, max_size=2),
)
users = contents.map(lambda content: [{"role": "user", "content": content}])


@st.composite
def assistants(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What the assistant says, and the results of what it calls."""
    said: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | words)}
    if draw(st.booleans()):
        said["thinking_blocks"] = draw(st.lists(thoughts, min_size=1, max_size=2))
    called = draw(st.lists(st.tuples(ids, names, arguments), max_size=3))
    if called:
        said["tool_calls"] = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given) if given else ""},
            }
            for call_id, name, given in called
        ]
    results = [
        {
            "role": "tool",
            "tool_call_id": call_id,
            "content": draw(
                st.text(max_size=8).filter(str.strip) | st.just("") | st.lists(text_parts)
            ),
        }
        for call_id, _, _ in called
    ]
    return [said, *results]


conversations = st.lists(systems | users | assistants(), max_size=6).map(
    lambda turns: (
        [message for turn in turns for message in turn] + [{"role": "user", "content": "The end."}]
    )
)


@given(messages=conversations)
def test_a_conversation_means_the_same(messages: list[dict[str, Any]]) -> None:
    encoded = anthropic.encode(chat_request(MODEL, messages=messages), None)
    body = orjson.loads(encoded.body)
    assert_understood(body)
    system, said = meaning_of_openai(messages)
    joined = [("text", "\n\n".join(text for _, text in system))] if system else []
    assert meaning_of_anthropic(body) == (joined, said)
    roles = [one["role"] for one in body["messages"]]
    assert all(first != second for first, second in pairwise(roles))


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "id", "text", "image_url", "url"]),
            inner | st.sampled_from(["text", "function", "image_url"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)
MESSAGE_FIELDS = ["tool_calls", "tool_call_id", "thinking_blocks", "refusal", "function_call"]
REQUEST_FIELDS = [
    "tools",
    "tool_choice",
    "stop",
    "temperature",
    "top_p",
    "user",
    "response_format",
    "reasoning_effort",
    "thinking",
    "parallel_tool_calls",
    "functions",
    "n",
]
odd_messages = st.builds(
    lambda role, content, fields: {**fields, "role": role, "content": content},
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.none() | st.text(max_size=4) | st.lists(anything, max_size=3),
    st.dictionaries(st.sampled_from(MESSAGE_FIELDS), anything, max_size=3),
)


@given(
    messages=st.lists(odd_messages, min_size=1, max_size=3),
    fields=st.dictionaries(st.sampled_from(REQUEST_FIELDS), anything, max_size=4),
    upstream=st.sampled_from(["claude-haiku-4-5", "claude-opus-5", "MiniMax-M2"]),
)
def test_any_request_is_sent_or_untranslatable(
    messages: list[dict[str, Any]], fields: dict[str, Any], upstream: str
) -> None:
    model = model_entry(anthropic_entry(), upstream_name=upstream)
    try:
        anthropic.encode(chat_request(model, **{**fields, "messages": messages}), None)
    except Untranslatable as error:
        assert error.failure().callers_fault


# --- Answers --------------------------------------------------------------------------------------

blocks = st.lists(
    st.text(max_size=12).map(lambda text: {"type": "text", "text": text})
    | thoughts
    | st.builds(
        lambda call_id, name, given: {
            "type": "tool_use",
            "id": call_id,
            "name": name,
            "input": given,
        },
        ids,
        names,
        arguments,
    ),
    max_size=5,
)
counts = st.integers(0, 10**6)
usages = st.fixed_dictionaries(
    {"input_tokens": counts, "output_tokens": counts},
    optional={"cache_read_input_tokens": counts, "cache_creation_input_tokens": counts},
)
answers = st.builds(
    lambda content, stop_reason, usage: message(*content, stop_reason=stop_reason, usage=usage),
    blocks,
    st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence"]),
    usages,
)


def joined(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of the chunks."""
    said: dict[str, Any] = {"content": "", "reasoning_content": "", "thinking_blocks": []}
    calls: dict[int, dict[str, Any]] = {}
    finish, usage = None, None
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            delta = choice["delta"]
            for name, so_far in said.items():
                said[name] = so_far + (delta.get(name) or type(so_far)())
            for call in delta.get("tool_calls", ()):
                known = calls.setdefault(call["index"], {"arguments": ""})
                known["arguments"] += call["function"]["arguments"]
                known |= (
                    {"id": call["id"], "name": call["function"]["name"]} if "id" in call else {}
                )
    return {**said, "calls": _calls(calls.values()), "finish": finish, "usage": usage}


def _calls(calls: Iterable[dict[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls]


def whole(body: dict[str, Any]) -> dict[str, Any]:
    """The same of an answer that came at once."""
    ChatCompletion.model_validate(body)
    (choice,) = body["choices"]
    said = choice["message"]
    calls = [{"id": one["id"], **one["function"]} for one in said.get("tool_calls", ())]
    return {
        "content": said["content"] or "",
        "reasoning_content": said.get("reasoning_content", ""),
        "thinking_blocks": said.get("thinking_blocks", []),
        "calls": _calls(calls),
        "finish": choice["finish_reason"],
        "usage": body["usage"],
    }


@given(answer=answers, cuts=st.integers(1, 20))
def test_an_answer_in_pieces_is_the_same_answer(answer: dict[str, Any], cuts: int) -> None:
    request = chat_request(MODEL)
    outcome = anthropic.decode(InboundAnswer(200, answer), request, now=NOW)
    assert isinstance(outcome, Answer)
    stream = anthropic.stream_decoder(request, now=NOW)
    chunks = [
        chunk.body for event in events_of(answer, cuts) for chunk in stream.feed(sent_event(event))
    ]
    assert stream.close() is None
    assert joined(chunks) == whole(outcome.body)
    assert stream.usage == outcome.usage


@given(answer=answers)
def test_an_answer_that_is_sent_back_means_what_it_said(answer: dict[str, Any]) -> None:
    request = chat_request(MODEL)
    outcome = anthropic.decode(InboundAnswer(200, answer), request, now=NOW)
    assert isinstance(outcome, Answer)
    said = outcome.body["choices"][0]["message"]
    messages = [{"role": "user", "content": "Go."}, said, {"role": "user", "content": "On."}]
    encoded = orjson.loads(anthropic.encode(chat_request(MODEL, messages=messages), None).body)
    assert_understood(encoded)
    _, meant = meaning_of_anthropic(encoded)
    back = [one for one in meant if one[0] == "assistant"]
    texts = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
    assert [one[1:] for one in back if one[1] == "text"] == (
        [("text", texts)] if texts.strip() else []
    )
    for kind, blocks_of in (("call", "tool_use"), ("thought", "thinking")):
        given_blocks = [block for block in answer["content"] if block["type"] == blocks_of]
        assert len([one for one in back if one[1] == kind]) == len(given_blocks)
