"""Thoughts, effort and JSON: what each generation of models understands."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters import Untranslatable, anthropic
from providers.adapters.anthropic.generations import understands
from providers.adapters.anthropic.schemas import is_enforceable, narrowed
from tests.providers.anthropic_reference import assert_understood
from tests.providers.entries import anthropic_entry, chat_request, model_entry
from tests.providers.test_anthropic_encode import (
    ADAPTIVE,
    BUDGETED,
    NEWEST,
    OTHER_VENDOR,
    USER,
    called,
    function,
    sent,
    turns,
)


@pytest.mark.parametrize(
    ("name", "sampling", "adaptive", "schemas"),
    [
        ("claude-2.1", True, False, False),
        ("claude-3-5-sonnet-20241022", True, False, False),
        ("claude-3-7-sonnet-latest", True, False, False),
        ("claude-sonnet-4-20250514", True, False, False),
        ("claude-opus-4-1", True, False, False),
        ("claude-haiku-4-5", True, False, True),
        ("claude-opus-4-5-20251101", True, False, True),
        ("claude-opus-4-6", True, True, True),
        ("anthropic.claude-opus-4-6-v1:0", True, True, True),
        ("claude-opus-4-7", False, True, True),
        ("anthropic/claude-opus-4.8", False, True, True),
        ("claude-opus-4-10", False, True, True),
        ("claude-sonnet-5", False, True, True),
        ("claude-fable-5-2", False, True, True),
        ("claude-mythos-preview", False, True, True),
        ("MiniMax-M2", True, False, False),
        ("kimi-k2-thinking", True, False, False),
    ],
)
def test_the_name_tells_the_generation(
    name: str, sampling: bool, adaptive: bool, schemas: bool
) -> None:
    can = understands(name)
    assert (can.sampling, can.adaptive, can.schemas) == (sampling, adaptive, schemas)


@pytest.mark.parametrize(
    ("effort", "cap", "budget"),
    [
        ("minimal", 8192, 1024),
        ("low", 8192, 1024),
        ("medium", 8192, 4096),
        ("high", 64_000, 16_384),
        ("high", 8192, 6144),
        ("xhigh", 64_000, 32_768),
        ("max", 128_000, 65_536),
        ("low", 1366, 1024),
        ("low", 1024, None),
        ("none", 8192, None),
        ("unknown", 8192, None),
        (None, 8192, None),
    ],
)
@pytest.mark.parametrize("model", [BUDGETED, OTHER_VENDOR])
def test_effort_is_a_budget_that_leaves_room_for_the_answer(
    model: str, effort: Any, cap: int, budget: int | None
) -> None:
    body = sent(model, reasoning_effort=effort, output_cap=cap, temperature=0.5)
    assert "output_config" not in body
    if budget is None:
        assert "thinking" not in body
        assert body["temperature"] == 0.5
    else:
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "temperature" not in body
        assert budget < body["max_tokens"]


@pytest.mark.parametrize(
    ("model", "effort", "mapped"),
    [
        (ADAPTIVE, "minimal", "low"),
        (ADAPTIVE, "low", "low"),
        (ADAPTIVE, "medium", "medium"),
        (ADAPTIVE, "high", "high"),
        (ADAPTIVE, "xhigh", "high"),
        (NEWEST, "xhigh", "xhigh"),
        (NEWEST, "max", "max"),
    ],
)
def test_newer_models_think_as_much_as_the_effort_asks(
    model: str, effort: str, mapped: str
) -> None:
    body = sent(model, reasoning_effort=effort)
    assert body["output_config"] == {"effort": mapped}
    assert body["thinking"] == {"type": "adaptive"}


def test_no_effort_is_little_effort_without_thinking() -> None:
    body = sent(NEWEST, reasoning_effort="none")
    assert body["output_config"] == {"effort": "low"}
    assert "thinking" not in body


@pytest.mark.parametrize("model", [BUDGETED, NEWEST])
def test_a_model_that_must_use_a_tool_cannot_think_before_it(model: str) -> None:
    for choice in ("required", function()):
        body = sent(model, reasoning_effort="high", tools=[function()], tool_choice=choice)
        assert "thinking" not in body
    assert "thinking" in sent(model, reasoning_effort="high", tools=[function()])


def test_the_callers_own_word_on_thinking_passes() -> None:
    own = {"type": "enabled", "budget_tokens": 2048}
    assert sent(thinking=own, reasoning_effort="low")["thinking"] == own
    assert sent(NEWEST, thinking={"type": "disabled"}, reasoning_effort="low") == {
        **sent(NEWEST),
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "low"},
    }


def test_tools_called_without_a_thought_are_gone_on_from_without_thinking() -> None:
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    bare = called(("call_1", "look", ""))
    asked: dict[str, Any] = {"reasoning_effort": "low", "tools": [function()]}
    assert "thinking" not in sent(messages=[USER, bare, answered], **asked)
    with_thought = {**bare, "thinking_blocks": [thought]}
    assert "thinking" in sent(messages=[USER, with_thought, answered], **asked)


def test_thoughts_go_back_first_and_exactly_as_they_were() -> None:
    thoughts = [
        {"type": "thinking", "thinking": " Hm. ", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "opaque"},
    ]
    message = called(
        ("call_1", "look", "{}"),
        content="Let me see.",
        reasoning_content=" Hm. ",
        thinking_blocks=[*thoughts, {"type": "thinking", "thinking": "unsigned"}, 5],
    )
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    (_, turn, _) = turns(USER, message, answered, tools=[function()])
    assert turn["content"] == [
        *thoughts,
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {}},
    ]


# --- JSON -----------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}},
    "required": ["age"],
}


def schema_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


def test_json_mode_is_an_instruction_to_the_system() -> None:
    asked: dict[str, Any] = {"response_format": {"type": "json_object"}}
    alone = sent(**asked)
    assert "JSON object" in alone["system"]
    added = sent(messages=[{"role": "system", "content": "Be brief."}, USER], **asked)
    assert added["system"] == "Be brief.\n\n" + alone["system"]


def test_a_schema_is_held_to_in_what_can_be_enforced() -> None:
    body = sent(NEWEST, response_format=schema_format(SCHEMA), reasoning_effort="low")
    assert body["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"age": {"type": "integer", "description": '{"minimum":0}'}},
                "required": ["age"],
                "additionalProperties": False,
            },
        },
    }
    assert "system" not in body


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (OTHER_VENDOR, SCHEMA),
        ("claude-3-5-sonnet-20241022", SCHEMA),
        (NEWEST, {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)
def test_elsewhere_the_model_is_told_of_the_schema(model: str, schema: Any) -> None:
    body = sent(model, response_format=schema_format(schema))
    assert "output_config" not in body
    assert orjson.dumps(schema).decode() in body["system"]


@pytest.mark.parametrize("wanted", [{"type": "text"}, None, "json", {"type": 5}])
def test_text_needs_nothing(wanted: Any) -> None:
    assert sent(response_format=wanted) == sent()


@pytest.mark.parametrize("named", [None, {}, {"schema": "x"}])
def test_a_schema_must_be_given(named: Any) -> None:
    asked = {"type": "json_schema", "json_schema": named}
    request = chat_request(model_entry(anthropic_entry()), response_format=asked)
    with pytest.raises(Untranslatable) as caught:
        anthropic.encode(request, None)
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        (
            {"type": "string", "pattern": "^a", "description": "D."},
            {"type": "string", "description": 'D.\n\n{"pattern":"^a"}'},
        ),
        (
            {"type": "array", "items": SCHEMA["properties"], "minItems": 1},
            {
                "type": "array",
                "items": {"description": '{"age":{"type":"integer","minimum":0}}'},
                "minItems": 1,
            },
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {}}}},
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
            },
        ),
        ({"type": "array", "items": {"type": "object", "additionalProperties": True}}, None),
        ({"anyOf": [{"type": "object", "additionalProperties": {}}]}, None),
    ],
)
def test_what_can_be_enforced_of_a_schema(schema: Any, expected: Any) -> None:
    assert narrowed(schema) == expected
    assert is_enforceable(schema) is (schema == expected)
    if expected is not None:
        assert narrowed(expected) == expected


def test_a_body_with_everything_is_understood() -> None:
    assert_understood(
        sent(
            BUDGETED,
            stop="x",
            user="u",
            tools=[function(parameters={"type": "object"})],
            tool_choice="auto",
            parallel_tool_calls=False,
            reasoning_effort="low",
            response_format=schema_format(SCHEMA),
            stream=True,
        )
    )
