"""How much a chat asks of a model: bounds, direction, and what each component goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import chat_request, embeddings_request
from governance.complexity import (
    KEYWORDS,
    WEIGHTS,
    WINDOW,
    ComplexityScore,
    Features,
    features_of,
    score,
)

FEATURES = st.builds(
    Features,
    text=st.text(max_size=400),
    length=st.integers(0, 10**7),
    tokens=st.integers(0, 10**7),
    json_mode=st.booleans(),
    images=st.integers(0, 50),
    tools=st.integers(0, 200),
)


def value(found: ComplexityScore, name: str) -> float:
    return next(one.value for one in found.components if one.name == name)


def ask(text: str) -> ComplexityScore:
    return score(features_of([{"role": "user", "content": text}], tokens=len(text) // 4))


@given(FEATURES)
def test_a_score_and_its_components_are_within_bounds_and_add_up(features: Features) -> None:
    found = score(features)
    assert 0 <= found.total <= 1
    assert [one.name for one in found.components] == list(WEIGHTS)
    for one in found.components:
        assert 0 <= one.value <= 1
        assert 0 <= one.share <= WEIGHTS[one.name]
    assert found.total == pytest.approx(sum(one.share for one in found.components), abs=1e-3)


@given(FEATURES, st.sampled_from(["length", "tokens", "images", "tools"]), st.integers(0, 10**6))
def test_more_of_anything_never_asks_less(features: Features, name: str, more: int) -> None:
    grown = replace(features, **{name: getattr(features, name) + more})
    assert score(grown).total >= score(features).total
    assert score(replace(features, json_mode=True)).total >= score(features).total


@given(FEATURES, st.sampled_from(["\nWhy?", "\n1. a thing", "\n```\n", "\nprove it"]))
def test_one_more_question_or_piece_of_code_never_asks_less(features: Features, more: str) -> None:
    grown = replace(features, text=features.text + more)
    assert score(grown).total >= score(features).total


def test_the_weights_add_up_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    whole = Features(
        text="```\n```\n```\n? ? ? ? ?\nanalyse, prove, compare and design it",
        length=10**6,
        tokens=10**6,
        json_mode=True,
        images=1,
        tools=20,
    )
    assert score(whole).total == 1
    assert score(Features()).total == 0


@pytest.mark.parametrize(
    ("language", "text"),
    [
        pytest.param("English", "Analyse and compare both, then justify it.", id="English"),
        pytest.param("German", "Analysiere und vergleiche beide, und begründe es.", id="German"),
        pytest.param("Czech", "Analyzuj a porovnej obojí a zdůvodni to.", id="Czech"),
        pytest.param("French", "Analysez et démontrez, étape par étape.", id="French"),
        pytest.param("Spanish", "Analiza, diseña y evalúa, paso a paso.", id="Spanish"),
        pytest.param("Czech", "Analyzuj a porovnej oboji a zduvodni to.", id="without accents"),
        pytest.param("German", "ANALYSIERE, VERGLEICHE, BEGRÜNDE", id="in capitals"),
    ],
)
def test_keywords_are_known_in_several_languages(language: str, text: str) -> None:
    assert language in KEYWORDS
    assert value(ask(text), "keywords") >= 0.75


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        pytest.param("Hello.", 0, 0.05, id="a greeting"),
        pytest.param("What is the capital of France?", 0, 0.1, id="one question"),
        pytest.param("Ahoj, jak se máš?", 0, 0.1, id="one in Czech"),
        pytest.param(
            "Compare and evaluate the design:\n```\ndef f(x):\n    return x\n```\n"
            "1. Is it right?\n2. Is it fast? Prove it.\n3. What would you change?",
            0.4,
            0.75,
            id="a review",
        ),
    ],
)
def test_what_people_ask_scores_where_it_should(text: str, low: float, high: float) -> None:
    assert low <= ask(text).total <= high


def test_a_keyword_is_a_word_and_counts_once() -> None:
    assert value(ask("improved"), "keywords") == 0
    assert value(ask("prove prove prove"), "keywords") == value(ask("prove"), "keywords")


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    filler = "word " * 100_000
    features = features_of([{"role": "user", "content": f"prove {filler} compare"}], tokens=1)
    assert len(features.text) <= 2 * WINDOW + 1
    assert features.length > 500_000
    assert value(score(features), "keywords") == 0.5
    hidden = features_of([{"role": "user", "content": f"{filler} prove {filler}"}], tokens=1)
    assert value(score(hidden), "keywords") == 0


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        pytest.param([], "", id="none"),
        pytest.param([{"role": "system", "content": "prove"}], "", id="no user"),
        pytest.param(
            [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "said"},
                {"role": "user", "content": "last"},
                {"role": "tool", "content": "result"},
            ],
            "last",
            id="the last that a user said",
        ),
        pytest.param(
            [{"role": "user", "content": [{"text": "a"}, {"image_url": {}}, {"text": "b"}, 1]}],
            "a\nb",
            id="parts",
        ),
        pytest.param([{"role": "user", "content": None}], "", id="nothing said"),
        pytest.param([{"role": "user", "content": [{"text": 5}]}], "", id="no text"),
    ],
)
def test_what_was_asked_last_is_read(messages: list[dict[str, Any]], text: str) -> None:
    assert features_of(messages, tokens=0).text == text


def test_a_chat_has_features_and_embeddings_have_none() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    chat = chat_request.parse(
        {
            "model": "auto",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, image]}],
            "tools": [tool, tool],
            "response_format": {"type": "json_object"},
        }
    )
    features = chat.features
    assert (features.text, features.length, features.tokens) == ("Look.", 5, chat.expected_input)
    assert (features.json_mode, features.images, features.tools) == (True, 1, 2)
    assert embeddings_request.parse({"model": "auto", "input": "Hello."}).features is None
