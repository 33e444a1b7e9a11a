"""Errors as answers: who may try again by itself, and when."""

from __future__ import annotations

import orjson
import pytest

from governance.errors import (
    BudgetBlocked,
    CallError,
    LedgerUnavailable,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimedOut,
    ProviderUnavailable,
)
from palyra_site.openai_endpoint import answers
from tests.openai_endpoint.streams import CALL_ID

NEVER = {"x-should-retry": "false"}


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (BudgetBlocked("No."), 402, NEVER),
        (ProviderFailed("No."), 502, NEVER),
        (ProviderTimedOut("No."), 504, NEVER),
        (ProviderRateLimited("No.", retry_after=20.2), 429, {**NEVER, "retry-after": "21"}),
        (ProviderRateLimited("No.", retry_after=0.01), 429, {**NEVER, "retry-after": "1"}),
        (LedgerUnavailable("No."), 503, {"retry-after": "1"}),
        (ProviderUnavailable("No.", retry_after=7.0), 503, {"retry-after": "7"}),
    ],
)
def test_only_what_may_be_tried_again_is(
    error: CallError, status: int, expected: dict[str, str]
) -> None:
    answer = answers.of_error(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    assert answer.status == status
    assert headers == {"content-type": "application/json", **expected}


def test_an_error_tells_its_call_and_its_details() -> None:
    error = ProviderFailed("No.", call_id=CALL_ID, detail={"failure_class": "auth_invalid"})
    answer = answers.of_error(error)
    assert (b"x-palyra-call-id", str(CALL_ID).encode()) in answer.headers
    assert orjson.loads(answer.body) == {
        "error": {
            "message": "No.",
            "type": "provider_error",
            "param": None,
            "code": "provider_failed",
            "failure_class": "auth_invalid",
            "call_id": str(CALL_ID),
        }
    }
