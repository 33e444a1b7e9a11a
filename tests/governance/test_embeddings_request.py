"""Reading an embeddings request: what is refused and why, and bounds that hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.embeddings_request import (
    HIGHEST_TOKEN_ID,
    INPUT_OVERHEAD,
    LARGEST_INPUT,
    LARGEST_TOGETHER,
    MOST_DIMENSIONS,
    MOST_INPUTS,
    parse,
)
from governance.errors import InvalidRequest
from providers.requests import EmbeddingsRequest
from tests.providers.entries import model_entry

MOST_IDS = LARGEST_INPUT // 4


def asked(value: Any = "Hello.", **fields: Any) -> dict[str, Any]:
    return {"model": "vector", "input": value, **fields}


def beyond_64_bits() -> int:
    return 2**64


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param([], None, id="a list"),
        pytest.param("text", None, id="text"),
        pytest.param(asked(model=None), "model", id="no model"),
        pytest.param(asked(model=" "), "model", id="a blank model"),
        pytest.param(asked(model=["vector"]), "model", id="a list of models"),
        pytest.param(asked(model="x" * 201), "model", id="a name too long"),
        pytest.param({"model": "vector"}, "input", id="no input"),
        pytest.param(asked(None), "input", id="a null input"),
        pytest.param(asked({}), "input", id="an input that is an object"),
        pytest.param(asked(7), "input", id="a number"),
        pytest.param(asked([]), "input", id="an empty list"),
        pytest.param(asked(""), "input[0]", id="an empty text"),
        pytest.param(asked(["one", ""]), "input[1]", id="an empty text in a list"),
        pytest.param(asked([[1], []]), "input[1]", id="an empty list of ids"),
        pytest.param(asked(["one", 2]), "input[1]", id="a text and a number"),
        pytest.param(asked(["one", [2]]), "input[1]", id="a text and ids"),
        pytest.param(asked([[1], "two"]), "input[1]", id="ids and a text"),
        pytest.param(asked([1, "two"]), "input[0]", id="a text among ids"),
        pytest.param(asked([1, -1]), "input[0]", id="a negative id"),
        pytest.param(asked([1, True]), "input[0]", id="a bool among ids"),
        pytest.param(asked([True]), "input[0]", id="a bool"),
        pytest.param(asked([1, 2.0]), "input[0]", id="a float among ids"),
        pytest.param(asked([1.0]), "input[0]", id="a float"),
        pytest.param(asked([None]), "input[0]", id="a list of null"),
        pytest.param(asked([[[1]]]), "input[0]", id="lists too deep"),
        pytest.param(asked([HIGHEST_TOKEN_ID + 1]), "input[0]", id="an id too high"),
        pytest.param(asked("\ud800"), "input[0]", id="half a character"),
        pytest.param(asked(["x"] * (MOST_INPUTS + 1)), "input", id="too many inputs"),
        pytest.param(asked("x" * (LARGEST_INPUT + 1)), "input[0]", id="a text too long"),
        pytest.param(asked("é" * (LARGEST_INPUT // 2 + 1)), "input[0]", id="too many bytes"),
        pytest.param(asked([1] * (MOST_IDS + 1)), "input[0]", id="too many ids"),
        pytest.param(asked([[1] * (MOST_IDS + 1)]), "input[0]", id="too many ids in a list"),
        pytest.param(asked(["x" * LARGEST_INPUT] * 4 + ["x"]), "input", id="too much together"),
        pytest.param(asked([[1] * MOST_IDS] * 4 + [[1]]), "input", id="too many ids together"),
        pytest.param(asked(encoding_format="hex"), "encoding_format", id="another format"),
        pytest.param(asked(encoding_format=[]), "encoding_format", id="a format that is a list"),
        pytest.param(asked(dimensions=0), "dimensions", id="no dimensions"),
        pytest.param(asked(dimensions=True), "dimensions", id="a bool of dimensions"),
        pytest.param(asked(dimensions=2.5), "dimensions", id="half a dimension"),
        pytest.param(asked(dimensions=MOST_DIMENSIONS + 1), "dimensions", id="too many dimensions"),
        pytest.param(asked(unknown=beyond_64_bits()), None, id="what JSON cannot say"),
    ],
)
def test_a_request_at_fault_names_the_field(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.param == param
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        pytest.param("Hello.", 6, 2, id="a text"),
        pytest.param("é", 2, 1, id="bytes, not characters"),
        pytest.param(["Hello.", "Hello."], 12, 4, id="two texts"),
        pytest.param([7, 8, 9], 3, 3, id="token ids"),
        pytest.param([[7, 8, 9], [0]], 4, 4, id="lists of token ids"),
        pytest.param([HIGHEST_TOKEN_ID], 1, 1, id="the highest id"),
        pytest.param(["x"] * MOST_INPUTS, MOST_INPUTS, MOST_INPUTS, id="the most inputs"),
        pytest.param("x" * LARGEST_INPUT, LARGEST_INPUT, MOST_IDS, id="the longest text"),
        pytest.param([1] * MOST_IDS, MOST_IDS, MOST_IDS, id="the most ids"),
        pytest.param(
            ["x" * LARGEST_INPUT] * 4, LARGEST_TOGETHER, LARGEST_TOGETHER // 4, id="the most texts"
        ),
        pytest.param(
            [[1] * MOST_IDS] * 4, 4 * MOST_IDS, LARGEST_TOGETHER // 4, id="the most ids together"
        ),
    ],
)
def test_it_is_as_large_as_its_inputs(value: Any, bound: int, expected: int) -> None:
    inputs = len(value) if isinstance(value, list) and not isinstance(value[0], int) else 1
    parsed = parse(asked(value))
    assert parsed.input_bound == bound + inputs * INPUT_OVERHEAD
    assert parsed.expected_input == expected


def test_it_has_no_output() -> None:
    parsed = parse(asked())
    assert (parsed.output_limit, parsed.choices) == (None, 1)
    assert parsed.output_cap(4096) == 0
    assert parsed.expected_output(0) == 0


def test_it_needs_a_model_that_makes_embeddings() -> None:
    needs = parse(asked("x" * 400)).needs
    assert (needs.role, needs.input_tokens, needs.streaming) == ("embeddings", 100, False)


def test_a_model_is_asked_the_same_with_every_field() -> None:
    body = asked(encoding_format="base64", dimensions=MOST_DIMENSIONS, user="u", truncate="end")
    made = parse(body).request_for(model_entry(), 0)
    assert isinstance(made, EmbeddingsRequest)
    assert made.body == body


def test_unknown_fields_count_for_they_may_be_instructions() -> None:
    plain = parse(asked(encoding_format="float", dimensions=8, user="u" * 500))
    instructed = parse(asked(instruction="i" * 500))
    assert plain.input_bound == 6 + INPUT_OVERHEAD
    assert instructed.input_bound >= plain.input_bound + 500


def test_an_instruction_may_be_put_before_each_input() -> None:
    texts = ["Hello."] * 8
    plain, instructed = parse(asked(texts)), parse(asked(texts, instruction="x" * 500))
    assert instructed.input_bound >= plain.input_bound + 8 * 500


def test_the_name_is_read_without_the_blanks_around_it() -> None:
    assert parse(asked(model=" vector ")).model == "vector"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["model", "input", "dimensions", "encoding_format", "more"]), json_values
    )
    | json_values
)
def test_anything_is_read_or_refused(body: Any) -> None:
    try:
        parsed = parse(body)
    except InvalidRequest:
        return
    assert 0 < parsed.expected_input <= parsed.input_bound


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=MOST_INPUTS))
def test_no_text_has_more_tokens_than_its_bound(texts: list[str]) -> None:
    parsed = parse(asked(texts))
    assert sum(len(text.encode()) for text in texts) <= parsed.input_bound
    assert parsed.expected_input <= parsed.input_bound
