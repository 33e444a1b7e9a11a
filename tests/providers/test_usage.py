"""Token counts in disjoint buckets, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.usage import (
    MOST_BELIEVED,
    Usage,
    anthropic_reasoning,
    from_anthropic,
    from_openai,
    from_transcription,
    to_openai,
    tokens_of,
)

PLAIN = Usage(uncached_input=100, output=20)


def reported(**fields: Any) -> dict[str, Any]:
    return {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **fields}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({}, PLAIN, id="no details"),
        pytest.param({"prompt_tokens_details": None}, PLAIN, id="null details"),
        pytest.param({"prompt_tokens_details": {}}, PLAIN, id="empty details"),
        pytest.param({"prompt_tokens_details": [1]}, PLAIN, id="details of another type"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": None}}, PLAIN, id="null cached"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": -5}}, PLAIN, id="negative cached"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": True}}, PLAIN, id="bool cached"),
        pytest.param(
            {"prompt_tokens_details": {"cached_tokens": 60}},
            Usage(uncached_input=40, cache_read=60, output=20),
            id="cached",
        ),
        pytest.param(
            {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}},
            Usage(uncached_input=10, cache_read=60, cache_write_5m=30, output=20),
            id="cached and written",
        ),
        pytest.param(
            {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 90}},
            Usage(uncached_input=0, cache_read=60, cache_write_5m=40, output=20),
            id="more written than there is",
        ),
        pytest.param(
            {"prompt_tokens_details": {"cached_tokens": 500}},
            Usage(cache_read=100, output=20),
            id="more cached than there is",
        ),
        pytest.param(
            {"completion_tokens_details": {"reasoning_tokens": 15}},
            PLAIN,
            id="reasoning is a part of output",
        ),
        pytest.param(
            {"completion_tokens_details": {"rejected_prediction_tokens": 5}},
            PLAIN,
            id="rejected predictions are a part of output",
        ),
        pytest.param(
            {"total_tokens": 135, "completion_tokens_details": {"reasoning_tokens": 15}},
            Usage(uncached_input=100, output=35),
            id="reasoning that only the total has",
        ),
        pytest.param({"total_tokens": 500}, PLAIN, id="a total that does not add up"),
        pytest.param({"completion_tokens": None}, PLAIN, id="completion from the total"),
        pytest.param(
            {"completion_tokens": None, "total_tokens": 100},
            Usage(uncached_input=100),
            id="no output at all, as of embeddings",
        ),
        pytest.param({"completion_tokens": 0}, Usage(uncached_input=100), id="nothing written"),
    ],
)
def test_what_openai_reports_is_split_into_buckets(said: dict[str, Any], expected: Usage) -> None:
    assert from_openai(reported(**said)) == expected


def test_the_newer_interfaces_names_mean_the_same() -> None:
    said = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 15},
        "total_tokens": 120,
    }
    assert from_openai(said) == Usage(uncached_input=40, cache_read=60, output=20)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param("100", id="text"),
        pytest.param({}, id="an empty object"),
        pytest.param(reported(prompt_tokens=None), id="null prompt"),
        pytest.param(reported(prompt_tokens=-1), id="negative prompt"),
        pytest.param(reported(prompt_tokens=True), id="bool prompt"),
        pytest.param(reported(prompt_tokens=100.0), id="float prompt"),
        pytest.param(reported(prompt_tokens="100"), id="text prompt"),
        pytest.param(reported(prompt_tokens=MOST_BELIEVED + 1), id="absurd prompt"),
        pytest.param(reported(completion_tokens=-1), id="negative completion"),
        pytest.param(reported(completion_tokens=2.5), id="float completion"),
        pytest.param(reported(completion_tokens=2**70), id="absurd completion"),
        pytest.param({"prompt_tokens": 100}, id="no completion and no total"),
        pytest.param(
            {"prompt_tokens": 100, "total_tokens": 99}, id="a total smaller than the prompt"
        ),
    ],
)
def test_what_cannot_be_believed_is_no_usage_at_all(said: Any) -> None:
    assert from_openai(said) is None


counts = st.integers(min_value=0, max_value=MOST_BELIEVED)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(prompt=counts, completion=counts, cached=anything, written=anything)
def test_no_token_is_in_two_buckets(
    prompt: int, completion: int, cached: Any, written: Any
) -> None:
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    usage = from_openai(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": details,
        }
    )
    assert usage is not None
    buckets = (usage.uncached_input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
    assert min(buckets) >= 0
    assert sum(buckets) == usage.input == prompt
    assert usage.total == prompt + completion
    assert usage.reported


@given(said=st.dictionaries(st.sampled_from(sorted(reported())), anything))
def test_garbage_is_never_an_error(said: dict[str, Any]) -> None:
    usage = from_openai(said)
    assert usage is None or 0 <= usage.total <= 2 * MOST_BELIEVED


def anthropics(**fields: Any) -> dict[str, Any]:
    return {"input_tokens": 100, "output_tokens": 20, **fields}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({}, PLAIN, id="no cache"),
        pytest.param(
            {"cache_read_input_tokens": None, "cache_creation_input_tokens": None},
            PLAIN,
            id="null cache",
        ),
        pytest.param(
            {"cache_read_input_tokens": 50},
            Usage(uncached_input=100, cache_read=50, output=20),
            id="input excludes what was read from the cache",
        ),
        pytest.param(
            {"cache_creation_input_tokens": 30},
            Usage(uncached_input=100, cache_write_5m=30, output=20),
            id="writes last five minutes",
        ),
        pytest.param(
            {
                "cache_creation_input_tokens": 30,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 20,
                },
            },
            Usage(uncached_input=100, cache_write_5m=10, cache_write_1h=20, output=20),
            id="writes split by how long they last",
        ),
        pytest.param(
            {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
            Usage(uncached_input=100, cache_write_5m=10, cache_write_1h=20, output=20),
            id="only the split",
        ),
        pytest.param(
            {
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_1h_input_tokens": 99},
            },
            Usage(uncached_input=100, cache_write_1h=30, output=20),
            id="a split larger than the whole",
        ),
        pytest.param({"cache_creation": [1]}, PLAIN, id="an odd split"),
        pytest.param({"cache_read_input_tokens": True}, PLAIN, id="bool cache"),
        pytest.param({"server_tool_use": {"web_search_requests": 1}}, PLAIN, id="other fields"),
    ],
)
def test_what_anthropic_reports_is_split_into_buckets(
    said: dict[str, Any], expected: Usage
) -> None:
    assert from_anthropic(anthropics(**said)) == expected


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"input_tokens": 100},
        {"output_tokens": 20},
        anthropics(input_tokens=-1),
        anthropics(output_tokens=2.5),
        anthropics(input_tokens=MOST_BELIEVED + 1),
    ],
)
def test_what_anthropic_cannot_mean_is_no_usage_at_all(said: Any) -> None:
    assert from_anthropic(said) is None


@given(uncached=counts, read=counts, short=counts, long=counts, output=counts)
def test_anthropics_buckets_are_disjoint_and_clients_see_their_sum(
    uncached: int, read: int, short: int, long: int, output: int
) -> None:
    usage = from_anthropic(
        {
            "input_tokens": uncached,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": min(short + long, MOST_BELIEVED),
            "cache_creation": {
                "ephemeral_5m_input_tokens": short,
                "ephemeral_1h_input_tokens": long,
            },
            "output_tokens": output,
        }
    )
    assert usage is not None
    assert usage.uncached_input == uncached
    written = min(short + long, MOST_BELIEVED)
    assert usage.cache_write_5m + usage.cache_write_1h == written
    shown = to_openai(usage)
    assert shown["prompt_tokens"] == usage.input == uncached + read + written
    assert shown["total_tokens"] == usage.total


@given(
    read=st.integers(0, 10**6),
    written=st.integers(0, 10**6),
    uncached=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
)
def test_what_clients_are_shown_means_the_same_buckets(
    read: int, written: int, uncached: int, output: int
) -> None:
    usage = Usage(uncached_input=uncached, cache_read=read, cache_write_5m=written, output=output)
    assert from_openai(to_openai(usage)) == usage


@pytest.mark.parametrize(
    ("reported", "reasoning"),
    [
        ({"output_tokens_details": {"thinking_tokens": 7}}, 7),
        ({"output_tokens_details": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_thinking_is_shown_where_it_is_known(reported: Any, reasoning: int | None) -> None:
    assert anthropic_reasoning(reported) == reasoning
    shown = to_openai(PLAIN, reasoning=reasoning)
    details = None if reasoning is None else {"reasoning_tokens": reasoning}
    assert shown.get("completion_tokens_details") == details
    assert shown["completion_tokens"] == 20


TEXT = "Twelve bytes"


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (
            {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59},
            Usage(uncached_input=14, output=45),
        ),
        (
            {"input_tokens": 14, "output_tokens": 45},
            Usage(uncached_input=14, output=45),
        ),
        (
            {"type": "duration", "seconds": 9.5},
            Usage(uncached_input=95, output=3, reported=False),
        ),
        ({"type": "duration", "seconds": 0}, Usage(uncached_input=1, output=3, reported=False)),
        ({"type": "duration", "seconds": -1}, None),
        ({"type": "duration", "seconds": float("nan")}, None),
        ({"type": "duration", "seconds": True}, None),
        ({"type": "duration", "seconds": 1e300}, None),
        ({"type": "duration"}, None),
        ({"type": "tokens", "input_tokens": 14}, None),
        (None, None),
        ([], None),
    ],
)
def test_what_a_transcription_took(reported: Any, expected: Usage | None) -> None:
    assert from_transcription(reported, TEXT) == expected


@pytest.mark.parametrize(("size", "tokens"), [(0, 1), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_a_token_is_about_four_bytes(size: int, tokens: int) -> None:
    assert tokens_of(size) == tokens
