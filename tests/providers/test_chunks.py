"""A whole answer and a streamed one are the same answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chunks import Replay, from_completion
from providers.requests import Answer, Chunk
from providers.usage import Usage
from tests.providers.assembling import assembled

TEXTS = st.text(max_size=20)
ARGUMENTS = {"name": st.text(min_size=1, max_size=10), "arguments": TEXTS}
TOOL_CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=8),
            "type": st.just("function"),
            "function": st.fixed_dictionaries(ARGUMENTS),
        },
        optional={"extra_content": st.fixed_dictionaries({"thought": TEXTS})},
    ),
    max_size=3,
)
LOGPROBS = st.none() | st.fixed_dictionaries(
    {"content": st.lists(st.fixed_dictionaries({"token": TEXTS, "logprob": st.just(-0.5)}))}
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": st.none() | TEXTS,
        "refusal": st.none() | TEXTS,
        "reasoning_content": TEXTS,
        "annotations": st.lists(st.fixed_dictionaries({"url": TEXTS}), max_size=2),
        "audio": st.fixed_dictionaries({"id": TEXTS, "data": TEXTS, "expires_at": st.integers()}),
        "tool_calls": TOOL_CALLS,
    },
)
CHOICES = st.fixed_dictionaries(
    {"message": MESSAGES, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    optional={"logprobs": LOGPROBS, "content_filter_results": st.just({"hate": False})},
)
USAGE = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0), "completion_tokens": st.integers(0)}
)


def _numbered(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**choice, "index": index} for index, choice in enumerate(choices)]


COMPLETIONS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "object": st.just("chat.completion"),
        "created": st.integers(0),
        "model": TEXTS,
        "choices": st.lists(CHOICES, min_size=1, max_size=3).map(_numbered),
    },
    optional={
        "usage": USAGE,
        "system_fingerprint": st.none() | TEXTS,
        "x_host": st.dictionaries(TEXTS, st.integers()),
    },
)


@given(COMPLETIONS)
def test_what_is_taken_apart_and_put_together_is_the_same(body: dict[str, Any]) -> None:
    assert assembled(from_completion(body)) == body


@given(COMPLETIONS)
def test_every_chunk_is_one(body: dict[str, Any]) -> None:
    chunks = from_completion(body)
    assert {chunk.body["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.body["id"] for chunk in chunks} == {body["id"]}
    assert [chunk for chunk in chunks if chunk.usage_only] == (
        [chunks[-1]] if "usage" in body else []
    )
    for choice in body["choices"]:
        pieces = [
            piece
            for chunk in chunks
            for piece in chunk.body["choices"]
            if piece["index"] == choice["index"]
        ]
        assert pieces[0]["delta"] == {"role": "assistant"}
        reasons = [piece["finish_reason"] for piece in pieces]
        assert reasons == [None] * (len(pieces) - 1) + [choice["finish_reason"]]


@given(COMPLETIONS)
def test_substance_is_what_the_model_generated(body: dict[str, Any]) -> None:
    messages = [choice["message"] for choice in body["choices"]]
    generated = any(
        value for message in messages for name, value in message.items() if name != "role"
    )
    assert any(chunk.substance for chunk in from_completion(body)) == generated


def _chunk(delta: Any, **fields: Any) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return Chunk({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **fields})


def _message(*deltas: Any) -> Any:
    return assembled(_chunk(delta) for delta in deltas)["choices"][0]["message"]


def _call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


DELTAS: list[tuple[str, list[Any], Any]] = [
    ("text grows", [{"content": "Hel"}, {"content": "lo"}], {"content": "Hello"}),
    ("null adds nothing", [{"content": "a"}, {"content": None}], {"content": "a"}),
    ("a role said again", [{"role": "assistant"}, {"role": "assistant"}], {"role": "assistant"}),
    ("lists grow", [{"notes": [1]}, {"notes": [2]}], {"notes": [1, 2]}),
    (
        "an object grows by field",
        [{"audio": {"id": "a"}}, {"audio": {"id": "a", "data": "x"}}, {"audio": {"data": "y"}}],
        {"audio": {"id": "a", "data": "xy"}},
    ),
    (
        "a call's arguments grow and its names do not",
        [
            _call(index=0, id="1", type="function", function={"name": "f", "arguments": ""}),
            _call(index=0, id="1", type="function", function={"name": "f", "arguments": "{"}),
            _call(index=0, id="", function={"name": None, "arguments": "}"}),
        ],
        _call(id="1", type="function", function={"name": "f", "arguments": "{}"}),
    ),
    (
        "calls in turn, by index",
        [_call(index=1, id="b"), _call(index=0, id="a")],
        {"tool_calls": [{"id": "a"}, {"id": "b"}]},
    ),
    (
        "calls without an index",
        [
            _call(id="a", function={"arguments": "1"}),
            _call(function={"arguments": "2"}),
            _call(id="b", function={"arguments": "3"}),
        ],
        {
            "tool_calls": [
                {"id": "a", "function": {"arguments": "12"}},
                {"id": "b", "function": {"arguments": "3"}},
            ]
        },
    ),
    ("an absurd index takes no room", [_call(index=10**12, id="a")], {"tool_calls": [{"id": "a"}]}),
    ("what is no delta", [None, "text", {"tool_calls": ["call"]}], {"tool_calls": []}),
]


@pytest.mark.parametrize(
    ("deltas", "message"), [row[1:] for row in DELTAS], ids=[r[0] for r in DELTAS]
)
def test_how_pieces_grow_together(deltas: list[Any], message: Any) -> None:
    assert _message(*deltas) == message


def test_the_last_usage_counts_wherever_it_stands() -> None:
    body = assembled(
        [_chunk({}, usage={"a": 1}), _chunk({}, usage={"a": 2}), _chunk({}, usage=None)]
    )
    assert body["usage"] == {"a": 2}
    assert "usage" not in assembled([_chunk({"content": "x"}, usage=None)])


def test_putting_together_changes_no_chunk() -> None:
    first = _chunk({"notes": [1], "audio": {"data": "x"}})
    assembled([first, _chunk({"notes": [2], "audio": {"data": "y"}})])
    assert first.body["choices"][0]["delta"] == {"notes": [1], "audio": {"data": "x"}}


@pytest.mark.parametrize("odd", [5, "call", {"id": "a"}, ["call"], [{"id": "a"}, None]])
def test_what_is_no_list_of_calls_is_passed_on(odd: Any) -> None:
    body = {"choices": [{"message": {"content": None, "tool_calls": odd}, "finish_reason": "stop"}]}
    deltas = [one["delta"] for chunk in from_completion(body) for one in chunk.body["choices"]]
    assert {"content": None, "tool_calls": odd} in deltas


async def test_a_replay_ends_and_can_be_left() -> None:
    usage = Usage(output=1)
    body = {"id": "c", "choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]}
    replay = Replay(Answer(body, usage))
    assert replay.usage is usage
    assert assembled([chunk async for chunk in replay])["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hi.",
    }
    left = Replay(Answer(body, usage))
    await left.__anext__()
    await left.aclose()
    assert [chunk async for chunk in left] == []
