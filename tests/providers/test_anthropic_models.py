"""Anthropic's list of models, page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic.types import ModelInfo

from providers.adapters import anthropic
from providers.adapters.listing import ListedModel, Listing
from providers.failures import Failure, FailureClass
from providers.transport import InboundAnswer
from providers.vault import SecretText
from tests.providers.entries import anthropic_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YES, NO = {"supported": True}, {"supported": False}
ROW = {
    "id": "claude-opus-5",
    "type": "model",
    "display_name": "Claude Opus 5",
    "created_at": "2026-01-01T00:00:00Z",
    "lifecycle": "active",
    "max_input_tokens": 1_000_000,
    "max_tokens": 128_000,
}


def listed(body: Any, status: int = 200) -> Listing | Failure:
    return anthropic.listed(InboundAnswer(status, body), now=NOW)


@pytest.mark.parametrize(
    ("after", "query"),
    [(None, "limit=1000"), ("claude-a&b", "limit=1000&after_id=claude-a%26b")],
)
def test_they_are_asked_for_page_by_page(after: str | None, query: str) -> None:
    outbound = anthropic.list_request(anthropic_entry(), SecretText("sk-1"), after)
    assert (outbound.method, outbound.body) == ("GET", b"")
    assert outbound.url == f"https://api.anthropic.com/v1/models?{query}"
    assert outbound.headers["x-api-key"] == "sk-1"
    assert outbound.headers["anthropic-version"] == "2023-06-01"


def test_what_a_model_can_do() -> None:
    ModelInfo.model_validate(ROW)
    row = {**ROW, "capabilities": {"image_input": YES, "structured_outputs": NO, "batch": None}}
    assert listed({"data": [row], "has_more": False, "last_id": "claude-opus-5"}) == Listing(
        (
            ListedModel(
                id="claude-opus-5",
                display_name="Claude Opus 5",
                role="chat",
                context_window=1_000_000,
                max_output_tokens=128_000,
                tools=True,
                json_mode=False,
                vision=True,
                audio=False,
            ),
        )
    )


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        ({"has_more": True, "last_id": "b"}, "b"),
        ({"has_more": False, "last_id": "b"}, None),
        ({"has_more": True, "last_id": None}, None),
        ({}, None),
    ],
)
def test_whether_there_are_more(fields: dict[str, Any], after: str | None) -> None:
    listing = listed({"data": [{"id": "a"}, {"id": ""}, {}, 5], **fields})
    assert isinstance(listing, Listing)
    assert [model.id for model in listing.models] == ["a"]
    assert listing.after == after


@pytest.mark.parametrize("body", [None, [], {}, {"data": None}])
def test_what_is_no_list_is_malformed(body: Any) -> None:
    failure = listed(body)
    assert isinstance(failure, Failure)
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE


def test_an_error_is_a_failure() -> None:
    error = {"type": "error", "error": {"type": "authentication_error", "message": "No."}}
    failure = listed(error, 401)
    assert isinstance(failure, Failure)
    assert failure.failure_class is FailureClass.AUTH_INVALID
