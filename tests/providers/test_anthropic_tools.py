"""OpenAI's tools, calls and results as Anthropic's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.test_anthropic_encode import (
    NEWEST,
    OTHER_VENDOR,
    USER,
    called,
    function,
    refused,
    sent,
    turns,
)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 2}},
    "required": ["city"],
    "$defs": {"a": {"type": "null"}},
}


def test_a_tool_has_its_schema_whole() -> None:
    body = sent(tools=[function(description="Look.", parameters=SCHEMA)])
    assert body["tools"] == [{"name": "look", "description": "Look.", "input_schema": SCHEMA}]
    assert "tool_choice" not in body


@pytest.mark.parametrize("parameters", [{}, None])
def test_a_tool_without_parameters_takes_an_empty_object(parameters: Any) -> None:
    body = sent(tools=[function(parameters=parameters)])
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("model", "schema", "strict"),
    [
        (NEWEST, {"type": "object", "properties": {}, "additionalProperties": False}, True),
        (NEWEST, {"type": "object", "properties": {}}, False),
        (NEWEST, {**SCHEMA, "additionalProperties": False}, False),
        (OTHER_VENDOR, {"type": "object", "additionalProperties": False}, False),
    ],
)
def test_a_model_is_held_to_a_schema_only_where_it_can_be(
    model: str, schema: dict[str, Any], strict: bool
) -> None:
    body = sent(model, tools=[function(parameters=schema, strict=True)])
    assert body["tools"][0].get("strict", False) is strict


def test_a_tool_may_be_cached_or_be_in_anthropics_own_form() -> None:
    cached = {**function(), "cache_control": {"type": "ephemeral"}}
    native = {"name": "own", "input_schema": {"type": "object"}, "type": "custom"}
    first, second = sent(tools=[cached, native])["tools"]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert second == {"name": "own", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("asked", "mapped"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": function("look")}, {"type": "tool", "name": "look"}),
        ({"parallel_tool_calls": True}, None),
        (
            {"parallel_tool_calls": False},
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        (
            {"parallel_tool_calls": False, "tool_choice": function("look")},
            {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
    ],
)
def test_each_tool_choice(asked: dict[str, Any], mapped: Any) -> None:
    assert sent(tools=[function()], **asked).get("tool_choice") == mapped


def test_allowed_tools_are_the_only_ones_sent() -> None:
    among = {"mode": "required", "tools": [function("b")]}
    choice = {"type": "allowed_tools", "allowed_tools": among}
    body = sent(tools=[function("a"), function("b")], tool_choice=choice)
    assert [tool["name"] for tool in body["tools"]] == ["b"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": ["look"]}, "tools[0]"),
        ({"tools": [function()], "tool_choice": "whatever"}, "tool_choice"),
        ({"tools": [function()], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"functions": [{"name": "look"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_tools_that_cannot_be_said(asked: dict[str, Any], param: str) -> None:
    assert refused(**asked).param == param


def test_tool_choice_without_tools_is_left_out() -> None:
    assert not {"tools", "tool_choice"} & sent(tool_choice="auto", tools=[]).keys()


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [('{"a": [1, null]}', {"a": [1, None]}), ("", {}), ("  ", {}), ("{}", {})],
)
def test_a_call_is_a_tool_use_with_its_arguments_parsed(arguments: str, parsed: Any) -> None:
    (_, turn, _) = turns(
        USER,
        called(("call_1", "look", arguments), content="Let me see."),
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        tools=[function()],
    )
    assert turn["content"] == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": parsed},
    ]


@pytest.mark.parametrize("arguments", ["{", "[]", "5", "NaN", '"text"', "{'a': 1}"])
def test_arguments_that_are_no_object_are_the_callers_to_change(arguments: str) -> None:
    error = refused(messages=[USER, called(("call_1", "look", arguments))])
    assert error.param == "messages[1].tool_calls[0].function.arguments"


def test_arguments_too_deep_for_json_are_the_callers_to_change() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    refused(messages=[USER, called(("call_1", "look", deep))])


def test_the_results_of_one_turn_are_in_one_message_with_what_the_user_adds() -> None:
    url = "https://example.com/a.png"
    image = {"type": "image_url", "image_url": {"url": url}}
    turn = turns(
        USER,
        called(("call_1", "look", ""), ("call_2", "look", "")),
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": [image], "is_error": True},
        {"role": "user", "content": "And?"},
        tools=[function()],
    )[2]
    assert turn == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
            {
                "type": "tool_result",
                "tool_use_id": "call_2",
                "content": [{"type": "image", "source": {"type": "url", "url": url}}],
                "is_error": True,
            },
            {"type": "text", "text": "And?"},
        ],
    }


def test_a_tool_that_says_nothing_has_a_result_without_content() -> None:
    answered = {"role": "tool", "tool_call_id": "call_1", "content": ""}
    turn = turns(USER, called(("call_1", "look", "")), answered)[2]
    assert turn["content"] == [{"type": "tool_result", "tool_use_id": "call_1"}]


def test_other_hosts_ids_are_made_fit_on_both_sides() -> None:
    answered = {"role": "tool", "tool_call_id": "functions.look:0", "content": "x"}
    _, call, result = turns(USER, called(("functions.look:0", "look", "")), answered)
    assert call["content"][0]["id"] == result["content"][0]["tool_use_id"] == "functions_look_0"


def test_tools_used_before_are_named_though_none_is_to_be_used() -> None:
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    body = sent(messages=[USER, called(("call_1", "look", "")), answered])
    assert body["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "name": "look", "content": "42"},
        {"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]},
        {"role": "assistant", "tool_calls": [5]},
    ],
)
def test_calls_that_cannot_be_said(message: dict[str, Any]) -> None:
    where = refused(messages=[USER, message]).param
    assert where is not None
    assert where.startswith("messages[1]")
