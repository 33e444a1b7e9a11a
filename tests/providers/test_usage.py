"""Token counts in disjoint buckets, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.usage import MOST_BELIEVED, Usage, from_openai

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
