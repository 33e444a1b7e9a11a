"""What an error answer means: the taxonomy that decides what is done about it."""

from __future__ import annotations

from typing import Any

import pytest

from providers.failures import FailureClass, from_http


def error(message: str = "No.", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error(type="invalid_request_error"), FailureClass.PERMANENT_UPSTREAM),
        (400, error(code="context_length_exceeded"), FailureClass.CONTEXT_WINDOW_EXCEEDED),
        (400, error(code="content_filter"), FailureClass.CONTENT_POLICY_BLOCKED),
        (400, error(code="content_policy_violation"), FailureClass.CONTENT_POLICY_BLOCKED),
        (401, error(code="invalid_api_key"), FailureClass.AUTH_INVALID),
        (402, error(), FailureClass.QUOTA_EXCEEDED),
        (403, error(), FailureClass.PERMISSION_DENIED),
        (404, error(code="model_not_found"), FailureClass.PERMANENT_UPSTREAM),
        (408, error(), FailureClass.TRANSIENT_UPSTREAM),
        (409, error(), FailureClass.TRANSIENT_UPSTREAM),
        (413, error(), FailureClass.PERMANENT_UPSTREAM),
        (422, error(), FailureClass.PERMANENT_UPSTREAM),
        (429, error(code="rate_limit_exceeded"), FailureClass.RATE_LIMITED),
        (429, error(code="insufficient_quota"), FailureClass.QUOTA_EXCEEDED),
        (429, error(type="insufficient_quota"), FailureClass.QUOTA_EXCEEDED),
        (429, None, FailureClass.RATE_LIMITED),
        (500, error(), FailureClass.TRANSIENT_UPSTREAM),
        (501, error(), FailureClass.PERMANENT_UPSTREAM),
        (502, None, FailureClass.TRANSIENT_UPSTREAM),
        (503, error(), FailureClass.TRANSIENT_UPSTREAM),
        (504, None, FailureClass.PROVIDER_TIMEOUT),
        (529, error(type="overloaded_error"), FailureClass.TRANSIENT_UPSTREAM),
        (302, None, FailureClass.PERMANENT_UPSTREAM),
        (200, error(), FailureClass.TRANSIENT_UPSTREAM),
        (200, error(code=429), FailureClass.RATE_LIMITED),
        (200, error(code=400), FailureClass.PERMANENT_UPSTREAM),
        (200, error(code=True), FailureClass.TRANSIENT_UPSTREAM),
    ],
)
def test_status_and_code_name_the_class(status: int, body: Any, expected: FailureClass) -> None:
    failure = from_http(status, body)
    assert failure.failure_class is expected
    assert failure.http_status == status
    assert str(status) in failure.message


@pytest.mark.parametrize(
    ("status", "body", "at_fault"),
    [
        pytest.param(400, error(), True, id="a bad request"),
        pytest.param(413, None, True, id="too large"),
        pytest.param(422, None, True, id="unprocessable"),
        pytest.param(400, error(code="context_length_exceeded"), True, id="too long"),
        pytest.param(200, error(code=400), True, id="a bad request inside a success"),
        pytest.param(400, error(code="billing_hard_limit_reached"), False, id="the quota"),
        pytest.param(302, None, False, id="a redirect is the registry's fault"),
        pytest.param(401, error(), False, id="the credential is the registry's"),
        pytest.param(404, error(), False, id="the upstream's name is the registry's"),
        pytest.param(429, error(), False, id="the rate"),
        pytest.param(500, error(code="context_length_exceeded"), False, id="a server's error"),
        pytest.param(200, error(), False, id="an error inside a success"),
    ],
)
def test_only_what_the_caller_sent_is_the_callers_fault(
    status: int, body: Any, at_fault: bool
) -> None:
    assert from_http(status, body).callers_fault is at_fault


@pytest.mark.parametrize(
    ("status", "body", "billed"),
    [
        pytest.param(400, error(), False, id="refused"),
        pytest.param(429, error(), False, id="turned away"),
        pytest.param(500, error(), False, id="broken"),
        pytest.param(504, None, True, id="a gateway gave up on a model at work"),
        pytest.param(200, error(), True, id="an answer that broke off"),
        pytest.param(200, error(code=402), False, id="refused with a success"),
    ],
)
def test_work_that_may_have_been_done_may_be_billed(status: int, body: Any, billed: bool) -> None:
    assert from_http(status, body).may_be_billed is billed


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(error("Slow down."), "The provider answered 429: Slow down.", id="OpenAI's"),
        pytest.param(error("  padded  "), "The provider answered 429: padded", id="padded"),
        pytest.param({"error": "Busy."}, "The provider answered 429: Busy.", id="an error as text"),
        pytest.param(error(""), "The provider answered 429.", id="no message"),
        pytest.param({"error": {"message": 5}}, "The provider answered 429.", id="a number"),
        pytest.param({"error": [1]}, "The provider answered 429.", id="an error as a list"),
        pytest.param({"error": None}, "The provider answered 429.", id="a null error"),
        pytest.param(None, "The provider answered 429.", id="not JSON"),
        pytest.param([1, 2], "The provider answered 429.", id="a list"),
        pytest.param("text", "The provider answered 429.", id="text"),
        pytest.param({"error": {"code": {"a": 1}}}, "The provider answered 429.", id="odd code"),
    ],
)
def test_the_message_says_what_the_provider_said(body: Any, shown: str) -> None:
    assert from_http(429, body).message == shown


def test_a_redirect_points_at_the_base_url() -> None:
    assert "base URL" in from_http(307, None).message
