"""Tools, schemas and pieces, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from providers.adapters import deterministic
from providers.adapters.deterministic.instances import MOST_VALUES, instance
from providers.requests import Answer
from providers.usage import BYTES_PER_TOKEN
from tests.providers.entries import chat_request, model_entry, question

MODEL = model_entry(name="steady")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 18},
        "nick": {"type": "string"},
    },
    "required": ["name", "age"],
}


def function(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {}}}


async def answered(**body: Any) -> Answer:
    outcome = await deterministic.send(chat_request(MODEL, **body))
    assert isinstance(outcome, Answer)
    ChatCompletion.model_validate(outcome.body)
    return outcome


TOOLS = [function("find"), function("greet", PERSON)]


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        pytest.param({"tool_choice": "required"}, "find", id="required"),
        pytest.param({"tool_choice": function("greet")}, "greet", id="named"),
        pytest.param({"messages": question("Please greet her.")}, "greet", id="spoken of"),
        pytest.param({"messages": question("Good day.")}, None, id="not spoken of"),
        pytest.param(
            {"messages": question("Please greet her."), "tool_choice": "none"}, None, id="none"
        ),
        pytest.param({"tool_choice": "required", "tools": None}, None, id="no tools"),
        pytest.param({"tool_choice": "required", "tools": 5}, None, id="odd tools"),
        pytest.param(
            {
                "messages": [
                    *question("Please greet her."),
                    {"role": "tool", "tool_call_id": "call_1", "content": "greet done"},
                ]
            },
            None,
            id="after the result",
        ),
    ],
)
async def test_when_a_tool_is_called(asked: dict[str, Any], called: str | None) -> None:
    (choice,) = (await answered(**{"tools": TOOLS, **asked})).body["choices"]
    calls = choice["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([called] if called else [])
    assert choice["finish_reason"] == ("tool_calls" if called else "stop")
    assert (choice["message"]["content"] is None) is bool(called)


async def test_a_call_has_the_arguments_that_are_required() -> None:
    (choice,) = (await answered(tools=TOOLS, tool_choice=function("greet"))).body["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert orjson.loads(call["function"]["arguments"]) == {"name": "text", "age": 18}


async def test_arguments_stop_at_the_cap() -> None:
    answer = await answered(tools=TOOLS, tool_choice=function("greet"), output_cap=1)
    (choice,) = answer.body["choices"]
    assert choice["finish_reason"] == "length"
    arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
    assert len(arguments) <= BYTES_PER_TOKEN
    assert answer.usage is not None
    assert answer.usage.output == 1


async def test_an_answer_held_to_a_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    (choice,) = (await answered(response_format=wanted)).body["choices"]
    assert orjson.loads(choice["message"]["content"]) == {"name": "text", "age": 18}


# --- Schemas --------------------------------------------------------------------------------------

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "minimum": 0.5, "multipleOf": 0.25}, 0.5),
        ({"type": "integer", "multipleOf": 1e-300, "minimum": 2}, 2),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "array", "items": {"type": "null"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        (
            {
                "type": "array",
                "prefixItems": [{"type": "string"}],
                "items": {"type": "null"},
                "minItems": 2,
            },
            ["text", None],
        ),
        ({"enum": ["red", "green"]}, "red"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"properties": {"a": {"const": 1}}, "required": ["a"]}, {"a": 1}),
        ({"properties": {"a": {"const": 1}}, "minProperties": 1}, {"a": 1}),
        ({"type": "object", "required": ["unknown"]}, {"unknown": None}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 0),
        ({"oneOf": [{"const": "a"}]}, "a"),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/a"},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]},
                ],
                "$defs": {
                    "a": {
                        "type": "object",
                        "properties": {"a": {"const": 1}},
                        "required": ["a"],
                    }
                },
            },
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"const": 1}}}, 1),
        ({"$ref": "https://example.com/schema"}, None),
        ({"$ref": "#"}, None),
        (TREE, {"value": 0, "next": None}),
        ({}, None),
        (True, None),
        (None, None),
    ],
)
def test_the_smallest_thing_that_fits(schema: Any, expected: Any) -> None:
    assert instance(schema) == expected


def size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(size(one) for one in value.values())
    return 1 + sum(size(one) for one in value) if isinstance(value, list) else 1


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {
                "type": "object",
                "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}},
                "required": ["a", "b"],
            },
            id="twice itself",
        ),
        pytest.param({"type": "array", "items": {"$ref": "#"}, "minItems": 10**9}, id="many"),
        pytest.param({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, id="itself and itself"),
    ],
)
def test_a_schema_without_end_is_given_up_on(schema: Any) -> None:
    assert size(instance(schema)) <= 3 * MOST_VALUES


schemas = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null"])},
        optional={
            "minimum": st.integers(-9, 9) | st.text(max_size=1),
            "multipleOf": st.integers(-2, 4),
            # What is read of a request has 64 bits.
            "enum": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
            "minLength": st.integers(-1, 5),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "x"]) | st.lists(st.just("object")),
            "properties": st.dictionaries(st.sampled_from("ab"), inner) | st.just(5),
            "required": st.lists(st.sampled_from("ab") | st.just(5)) | st.none(),
            "items": inner | st.booleans(),
            "anyOf": st.lists(inner) | st.none(),
            "allOf": st.lists(inner | st.just({"$ref": "#"})) | st.none(),
            "minItems": st.integers(-2, 3),
            "$ref": st.sampled_from(["#", "#/properties/a", "x", 5]),
        },
    ),
    max_leaves=6,
)


@given(schema=schemas)
def test_any_schema_has_an_instance_that_is_json(schema: Any) -> None:
    orjson.dumps(instance(schema))


# --- Pieces ---------------------------------------------------------------------------------------


@given(text=st.text(max_size=80), cap=st.integers(1, 100), choices=st.integers(1, 3))
async def test_the_pieces_make_the_whole(text: str, cap: int, choices: int) -> None:
    answer = await answered(messages=question(text), output_cap=cap, n=choices)
    chunks = list(deterministic.pieces(answer))
    said = dict.fromkeys(range(choices), "")
    finishes: dict[int, str] = {}
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.body)
        for choice in chunk.body["choices"]:
            said[choice["index"]] += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                finishes[choice["index"]] = choice["finish_reason"]
    for choice in answer.body["choices"]:
        assert said[choice["index"]] == choice["message"]["content"]
        assert finishes[choice["index"]] == choice["finish_reason"]
    assert [chunk.usage_only for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].body["usage"] == answer.body["usage"]


async def test_an_answer_comes_in_several_pieces_and_the_first_has_no_substance() -> None:
    chunks = list(deterministic.pieces(await answered()))
    assert not chunks[0].substance
    assert len([chunk for chunk in chunks if chunk.substance]) > 3


async def test_a_call_comes_in_pieces() -> None:
    answer = await answered(tools=TOOLS, tool_choice=function("greet"))
    (whole,) = answer.body["choices"][0]["message"]["tool_calls"]
    calls = [
        call
        for chunk in deterministic.pieces(answer)
        for choice in chunk.body["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert calls[0] == {"index": 0, **whole, "function": {"name": "greet", "arguments": ""}}
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert arguments == whole["function"]["arguments"]
    assert len(calls) > 2
