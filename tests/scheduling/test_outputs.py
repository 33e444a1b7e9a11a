"""Answers in text and JSON: what is asked for, what is accepted, and what a check costs at most."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scheduling import output_schemas
from scheduling.outputs import (
    OutputFault,
    check,
    messages,
    response_format,
    schema_faults,
)

# Several times what the dearest check takes on an idle core: other work goes on beside this.
PATIENCE = 2.0
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 2},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
        "due": {"type": "string", "format": "date-time"},
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["cost", "latency"]}},
}


NAMES = [f"n{number}" for number in range(250)]
ID = ["01234567", "0123", "0123", "0123", "0123456789ab"]
UUID = {"format": "uuid"}


def doubling(times: int) -> dict[str, Any]:
    """Parts of which each asks for the next one twice."""
    parts = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(times)}
    return {**parts, f"a{times}": {}}


def checked(text: str, schema: Any = None) -> str:
    return check(text, output_format="json", schema=schema)


def refused(text: str, schema: Any = None) -> str:
    with pytest.raises(OutputFault) as caught:
        checked(text, schema)
    return str(caught.value)


def test_text_is_kept_as_it_came_if_it_can_be_stored() -> None:
    assert check(" a\n```x```", output_format="text", schema=None) == " a\n```x```"
    assert check("a\0b\ud83d\ude00\ud800", output_format="text", schema=SCHEMA) == "a�b😀�"


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "Up", "tags": ["cost"]}',
        ' \n{"title":"Up",\n"tags":["cost"]}\n',
        '```json\n{"title": "Up", "tags": ["cost"]}\n```',
        '```\n{"title": "Up", "tags": ["cost"]}```',
        '``` {"title": "Up", "tags": ["cost"]} ```',
        'Here it is:\n```JSON\n{"title": "Up", "tags": ["cost"]}\n```\nAnything else?',
    ],
)
def test_the_same_json_is_the_same_text(text: str) -> None:
    assert checked(text, SCHEMA) == '{"title": "Up", "tags": ["cost"]}'


def test_any_json_is_accepted_without_a_schema() -> None:
    assert checked("[1, 2.5, null]") == "[1, 2.5, null]"
    assert checked('"a ``` fence"') == '"a ``` fence"'
    assert checked('"\\u0000\\ud800é"') == '"\\u0000\\ud800\\u00e9"'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no JSON"),
        ("The figures are well.", "no JSON"),
        ('{"title": "Up', "cut off"),
        ("```\n1\n```\n```\n2\n```", "no JSON"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("1e999", "too large"),
        ("9" * 5000, "too large"),
        ("[" * 100_000, "deeply"),
        ("x" * 1_000_001, "longer"),
    ],
)
def test_what_is_no_json(text: str, word: str) -> None:
    assert word in refused(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, ["at $, 'title' is a required property"]),
        ({"title": "U"}, ["at $.title"]),
        ({"title": "Up", "tags": ["cost", "speed"]}, ["at $.tags[1]", "speed"]),
        ({"title": "Up", "tags": ["cost", "cost"]}, ["twice"]),
        ({"title": "Up", "due": "tomorrow"}, ["at $.due"]),
        ({"title": "Up", "due": "2026-10-25T09:00:00"}, ["at $.due"]),
        ({"title": "U", "more": 1, "tags": {}}, ["at $.title", "more", "at $.tags"]),
        ("x" * 10_000, ["…"]),
    ],
)
def test_what_does_not_fit_the_schema(value: Any, words: list[str]) -> None:
    said = refused(json.dumps(value), SCHEMA)

    assert all(word in said for word in words)
    assert len(said) < 1000


def test_what_fits_the_schema() -> None:
    value = {"title": "Up", "tags": ["cost", "latency"], "due": "2026-10-25T09:00:00Z"}

    assert schema_faults(SCHEMA) == []
    assert json.loads(checked(json.dumps(value), SCHEMA)) == value


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ([], "object"),
        ({"type": "strin"}, "$.type"),
        ({"properties": []}, "$.properties"),
        ({"properties": {"a": 3}}, "neither"),
        ({"items": [{}]}, "neither"),
        ({"multipleOf": 0}, "multipleOf"),
        ({"const": float("nan")}, "numbers"),
        ({"enum": ["x" * 20_000]}, "characters"),
        ({"anyOf": [{}] * 301}, "parts"),
        (json.loads('{"not":' * 30 + "{}" + "}" * 30), "deep"),
        ({"pattern": "(a+)+$"}, "regular expression"),
        ({"properties": {"a": {"patternProperties": {"(a+)+$": {}}}}}, "regular expression"),
        ({"unevaluatedProperties": False}, "additionalProperties"),
        ({"$dynamicRef": "#a"}, "dynamicRef"),
        ({"$id": "https://example.com/a"}, "$id"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "$schema"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "nothing is fetched"),
        ({"$ref": "#/$defs/a"}, "nothing is fetched"),
        ({"$ref": 3}, "nothing is fetched"),
        ({"$ref": "#"}, "without end"),
        ({"not": {"anyOf": [{"$ref": "#"}]}}, "without end"),
        ({"$defs": doubling(20), "$ref": "#/$defs/a0"}, "too often"),
        ({"required": [f"n{n}" for n in range(501)]}, "at most 500"),
        ({"dependentRequired": {"a": [1, *map(str, range(2_500))]}}, "at most 500"),
    ],
)
def test_schemas_that_cannot_be_used(schema: Any, word: str) -> None:
    assert word in " ".join(schema_faults(schema))


@pytest.mark.parametrize("times", [4, 11, 200])
def test_looking_at_a_schema_does_not_take_long(times: int) -> None:
    parts = doubling(times) | {f"a{times}": {"required": [f"n{n}" for n in range(500)]}}
    started = time.process_time()

    assert schema_faults({"$defs": parts, "$ref": "#/$defs/a0"})

    assert time.process_time() - started < PATIENCE


def test_a_schema_that_was_looked_at_is_known() -> None:
    assert schema_faults({"type": "strin", "title": "Known"})
    known = output_schemas._written_faults.cache_info().hits

    assert schema_faults({"title": "Known", "type": "strin"})
    assert output_schemas._written_faults.cache_info().hits == known + 1


def test_all_that_is_wrong_with_a_schema_is_said_at_once() -> None:
    assert len(schema_faults({"pattern": "a", "$id": "b", "items": {"foo": 1}})) == 3


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"a": 1}, {"properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": doubling(20)}),
        (["x" * 900_000], {"items": {"anyOf": [{"type": "integer"}] * 250}}),
        (["a"] * 100_000, {"not": {"items": {"anyOf": [{"type": "integer"}] * 250}}}),
        ([{"a": n} for n in range(50_000)], {"uniqueItems": True, "items": {"enum": [1]}}),
        ([1] * 100_000, {"contains": {"const": 2}}),
        ([["x" * 50] * 99] * 150, {"not": {"contains": {"enum": [["x" * 50] * 99 + ["y"]] * 3}}}),
        ([1] * 50_000, {"$schema": "https://json-schema.org/draft/2020-12/schema", "items": {}}),
        (10**90, {"multipleOf": 1e-308}),
        ([1] * 50_000, {"allOf": [{"items": {}}] * 20}),
        ([1] * 15_000, {"allOf": [{"items": {}}] * 20}),
        ([1] * 15_000, {"allOf": [{"contains": {}}] * 20}),
        ({f"a{n}": n for n in range(50_000)}, {"allOf": [{"additionalProperties": {}}] * 20}),
        ({f"a{n}": n for n in range(50_000)}, {"allOf": [{"propertyNames": {}}] * 20}),
        ([1] * 100_000, {"allOf": [{"uniqueItems": True}] * 10}),
        ([list(range(100_000))], {"allOf": [{"uniqueItems": True}] * 10}),
        ([1] * 15_000, {"items": {"allOf": [True] * 250}}),
        ([dict.fromkeys(NAMES, 1)] * 200, {"items": {"properties": dict.fromkeys(NAMES, True)}}),
        ([{}] * 9_000, {"not": {"items": {"not": {"required": NAMES}}}}),
        (["-".join([*ID[:4], "-" * 90_000 + ID[4]])] * 9, {"items": {"allOf": [UUID] * 250}}),
    ],
)
def test_a_check_does_not_take_long(value: Any, schema: Any) -> None:
    text = json.dumps(value)
    assert schema_faults(schema) == []
    started = time.process_time()
    try:
        checked(text, schema)
    except OutputFault as fault:
        assert str(fault)

    assert time.process_time() - started < PATIENCE


LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5, "", "a", "é"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)
BOUNDS = st.integers(0, 3)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "uniqueItems": st.booleans(),
        "minimum": BOUNDS,
        "maxLength": BOUNDS,
        "minItems": BOUNDS,
        "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    },
)


def within(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas made of others."""
    listed = st.lists(schemas, min_size=1, max_size=2)
    parts = {
        "items": schemas,
        "prefixItems": listed,
        "properties": st.dictionaries(st.sampled_from("ab"), schemas, max_size=2),
        "additionalProperties": schemas,
        "anyOf": listed,
        "oneOf": listed,
        "allOf": listed,
        "not": schemas,
        "if": schemas,
        "then": schemas,
        "contains": schemas,
    }
    return st.fixed_dictionaries({}, optional=parts)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.recursive(PLAIN | st.booleans(), within, max_leaves=5))
def test_what_fits_is_what_the_library_says_fits(value: Any, schema: Any) -> None:
    assume(isinstance(schema, dict))
    assert schema_faults(schema) == []
    try:
        checked(json.dumps(value), schema)
        fits = True
    except OutputFault:
        fits = False

    assert fits == Draft202012Validator(schema).is_valid(value)


def test_what_is_asked_of_a_host() -> None:
    assert response_format("text", SCHEMA) is None
    assert response_format("json", None) == {"type": "json_object"}
    assert response_format("json", SCHEMA) == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    }


@pytest.mark.parametrize(
    ("output_format", "held", "said"),
    [("text", False, []), ("json", True, ["JSON"]), ("json", False, ["JSON", '"minLength": 2'])],
)
def test_what_is_asked_in_words(output_format: str, held: bool, said: list[str]) -> None:
    told = messages("Be brief.", "Well?", output_format=output_format, schema=SCHEMA, held=held)

    assert [message["role"] for message in told] == ["system", "user"]
    assert told[0]["content"].startswith("Be brief.")
    assert all(word in told[0]["content"] for word in said)
    assert ("minLength" in told[0]["content"]) == (len(said) > 1)
    assert told[1]["content"] == "Well?"


def test_nothing_is_said_where_nothing_is_wished() -> None:
    assert messages("", "Well?", output_format="text", schema=None, held=False) == [
        {"role": "user", "content": "Well?"}
    ]
