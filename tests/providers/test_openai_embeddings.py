"""Embeddings on OpenAI's wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.adapters import openai_compatible
from providers.failures import Failure, FailureClass
from providers.requests import Answer, EmbeddingsRequest
from providers.transport import InboundAnswer
from providers.usage import Usage
from providers.vault import SecretText
from tests.providers.entries import embeddings_request, model_entry, remote_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE_URL = "https://models.example.com/v1"


def asking(asked: Any = "Hello.", **body: Any) -> EmbeddingsRequest:
    model = model_entry(remote_entry(BASE_URL), name="nice", upstream_name="vendor/embed-1")
    return embeddings_request(model, asked, **body)


def listed(*embeddings: Any, **fields: Any) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": one}
        for index, one in enumerate(embeddings)
    ]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return {"object": "list", "data": data, "model": "embed-1-0", "usage": usage, **fields}


def test_the_request_is_passed_on_under_the_upstreams_name() -> None:
    outbound = openai_compatible.encode(
        asking(["a", "b"], encoding_format="base64", dimensions=8, new="kept"), SecretText("sk-1")
    )
    assert outbound.url == f"{BASE_URL}/embeddings"
    assert outbound.headers["authorization"] == "Bearer sk-1"
    assert orjson.loads(outbound.body) == {
        "model": "vendor/embed-1",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 8,
        "new": "kept",
    }


@pytest.mark.parametrize("embedding", [[0.6, 0.8], "mpkZP83MTD8="])
def test_an_answer_is_passed_on_under_the_clients_name(embedding: Any) -> None:
    body = listed(embedding, new="kept")
    outcome = openai_compatible.decode(InboundAnswer(200, body), asking(), now=NOW)
    assert isinstance(outcome, Answer)
    assert outcome.body == listed(embedding, new="kept", model="nice")
    assert outcome.usage == Usage(uncached_input=4)


@pytest.mark.parametrize(
    ("asked", "count"),
    [("Hello.", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a"], 1)],
)
def test_each_input_has_its_embedding(asked: Any, count: int) -> None:
    def decoded(given: int) -> Any:
        body = listed(*[[1.0]] * given)
        return openai_compatible.decode(InboundAnswer(200, body), asking(asked), now=NOW)

    assert isinstance(decoded(count), Answer)
    assert isinstance(decoded(count + 1), Failure)


@pytest.mark.parametrize(
    "body",
    [None, "text", [], {}, listed(), listed(None), {"data": [5]}, {"data": "x"}],
)
def test_anything_else_is_malformed_and_may_be_billed(body: Any) -> None:
    outcome = openai_compatible.decode(InboundAnswer(200, body), asking(), now=NOW)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.MALFORMED_RESPONSE
    assert outcome.may_be_billed


def test_an_error_is_a_failure() -> None:
    error = {"error": {"message": "Too long.", "code": "context_length_exceeded"}}
    outcome = openai_compatible.decode(InboundAnswer(400, error), asking(), now=NOW)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.CONTEXT_WINDOW_EXCEEDED
