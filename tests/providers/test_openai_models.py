"""The models that hosts list, each in its own way."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters import openai_compatible
from providers.adapters.listing import ListedModel, Listing
from providers.failures import Failure, FailureClass
from providers.transport import InboundAnswer
from providers.vault import SecretText
from tests.providers.entries import remote_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def listed(body: Any) -> Listing | Failure:
    return openai_compatible.listed(InboundAnswer(200, body), now=NOW)


def only(**row: Any) -> ListedModel:
    listing = listed({"object": "list", "data": [row]})
    assert isinstance(listing, Listing)
    assert listing.after is None
    (model,) = listing.models
    return model


def test_they_are_asked_for_below_the_base_url() -> None:
    provider = remote_entry("https://models.example.com/v1")
    outbound = openai_compatible.list_request(provider, SecretText("sk-1"))
    assert (outbound.method, outbound.url) == ("GET", "https://models.example.com/v1/models")
    assert outbound.headers["authorization"] == "Bearer sk-1"
    assert outbound.body == b""


def test_a_host_that_says_only_names() -> None:
    assert only(id="gpt-x", object="model", owned_by="openai") == ListedModel(id="gpt-x")


def test_a_host_that_says_everything() -> None:
    model = only(
        id="maker/model",
        name="Maker: Model",
        context_length=200_000,
        architecture={"modality": "text+image->text", "input_modalities": ["text", "image"]},
        top_provider={"context_length": 200_000, "max_completion_tokens": 64_000},
        supported_parameters=["tools", "response_format"],
        pricing={
            "prompt": "0.000003",
            "completion": "0.000015",
            "input_cache_read": "0.0000003",
            "input_cache_write": "0.00000375",
            "request": "0.01",
        },
    )
    assert model == ListedModel(
        id="maker/model",
        display_name="Maker: Model",
        context_window=200_000,
        max_output_tokens=64_000,
        tools=True,
        json_mode=True,
        vision=True,
        audio=False,
        input_price=Decimal("3.000000"),
        output_price=Decimal("15.000000"),
        cache_read_price=Decimal("0.3000000"),
        cache_write_price=Decimal("3.75000000"),
        request_price=Decimal("0.01"),
    )


@pytest.mark.parametrize(
    ("row", "name", "expected"),
    [
        ({"context_window": 8192}, "context_window", 8192),
        ({"max_context_length": 8192}, "context_window", 8192),
        ({"max_model_len": 8192}, "context_window", 8192),
        ({"top_provider": {"context_length": 8192}}, "context_window", 8192),
        ({"context_length": "8192"}, "context_window", None),
        ({"context_length": True}, "context_window", None),
        ({"max_completion_tokens": 512}, "max_output_tokens", 512),
        ({"capabilities": {"function_calling": True}}, "tools", True),
        ({"capabilities": {"vision": False}}, "vision", False),
        ({"architecture": {"modality": "text->text"}}, "vision", False),
        ({"architecture": {"modality": "text+audio->text"}}, "audio", True),
        ({"supported_parameters": ["temperature"]}, "tools", False),
        ({"supported_parameters": None}, "tools", None),
        ({"type": "embedding"}, "role", "embeddings"),
        ({"type": "vlm"}, "role", "chat"),
        ({"capabilities": {"embeddings": True, "chat_completion": False}}, "role", "embeddings"),
        ({"architecture": {"output_modalities": ["embeddings"]}}, "role", "embeddings"),
        ({"id": "text-embedding-3-small"}, "role", "embeddings"),
        ({"id": "whisper-1"}, "role", "audio_transcription"),
        ({"id": "gpt-4o-mini-transcribe"}, "role", "audio_transcription"),
        ({"pricing": {"prompt": "-1"}}, "input_price", None),
        ({"pricing": {"prompt": "NaN"}}, "input_price", None),
        ({"pricing": {"prompt": "1e999999"}}, "input_price", None),
        ({"pricing": {"prompt": "1e-999999"}}, "input_price", None),
        ({"pricing": {"prompt": "free"}}, "input_price", None),
        ({"pricing": {"prompt": 0.3}}, "input_price", None),
        ({"pricing": {"prompt": "0"}}, "input_price", Decimal(0)),
    ],
)
def test_each_way_of_saying_it(row: dict[str, Any], name: str, expected: Any) -> None:
    assert getattr(only(**{"id": "some", **row}), name) == expected


@pytest.mark.parametrize(
    "body", [{"data": [{"id": "a"}]}, {"models": [{"id": "a"}]}, [{"id": "a"}, {}, 5]]
)
def test_each_place_for_the_list(body: Any) -> None:
    assert listed(body) == Listing((ListedModel(id="a"),))


@pytest.mark.parametrize("body", [None, "text", {}, {"data": "x"}, 5])
def test_what_is_no_list_is_malformed(body: Any) -> None:
    failure = listed(body)
    assert isinstance(failure, Failure)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE


def test_an_error_is_a_failure() -> None:
    failure = openai_compatible.listed(InboundAnswer(401, None), now=NOW)
    assert isinstance(failure, Failure)
    assert failure.failure_class is FailureClass.AUTH_INVALID


def test_nothing_is_a_short_price_however_it_is_written() -> None:
    assert str(only(id="a", pricing={"prompt": "0e-999999"}).input_price) == "0"


FIELDS = ["id", "type", "pricing", "prompt", "architecture", "top_provider", "capabilities", "name"]
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(row=st.dictionaries(st.sampled_from(FIELDS), json))
def test_no_row_raises(row: dict[str, Any]) -> None:
    assert isinstance(listed([row]), Listing)
