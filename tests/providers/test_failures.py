"""What an error answer means: the taxonomy that decides what is done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.failures import (
    TRAITS,
    Action,
    Category,
    FailureClass,
    from_event,
    from_http,
    retry_after,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def anthropic(kind: str, message: str = "No.", code: str | None = None) -> dict[str, Any]:
    details = {"error_code": code} if code else None
    said = {"type": kind, "message": message, "details": details}
    return {"type": "error", "error": said, "request_id": "req_1"}


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


POLICY = FailureClass.CONTENT_POLICY_BLOCKED
CONTEXT = FailureClass.CONTEXT_WINDOW_EXCEEDED


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, anthropic("invalid_request_error"), FailureClass.PERMANENT_UPSTREAM),
        (401, anthropic("authentication_error"), FailureClass.AUTH_INVALID),
        (402, anthropic("billing_error"), FailureClass.QUOTA_EXCEEDED),
        (403, anthropic("permission_error"), FailureClass.PERMISSION_DENIED),
        (404, anthropic("not_found_error"), FailureClass.PERMANENT_UPSTREAM),
        (413, anthropic("request_too_large"), FailureClass.PERMANENT_UPSTREAM),
        (429, anthropic("rate_limit_error"), FailureClass.RATE_LIMITED),
        (
            429,
            anthropic("rate_limit_error", code="enforced_spend_limit_reached"),
            FailureClass.QUOTA_EXCEEDED,
        ),
        (
            429,
            anthropic("rate_limit_error", code="contract_spend_limit_reached"),
            FailureClass.QUOTA_EXCEEDED,
        ),
        (
            429,
            anthropic("rate_limit_error", code="ramp_limit_exceeded"),
            FailureClass.RATE_LIMITED,
        ),
        (500, anthropic("api_error"), FailureClass.TRANSIENT_UPSTREAM),
        (504, anthropic("timeout_error"), FailureClass.PROVIDER_TIMEOUT),
        (529, anthropic("overloaded_error"), FailureClass.TRANSIENT_UPSTREAM),
        (
            400,
            anthropic("invalid_request_error", code="organization_on_hold"),
            FailureClass.PERMISSION_DENIED,
        ),
        # A success that carries an error has the status of its type.
        (200, anthropic("overloaded_error"), FailureClass.TRANSIENT_UPSTREAM),
        (200, anthropic("rate_limit_error"), FailureClass.RATE_LIMITED),
        (200, anthropic("authentication_error"), FailureClass.AUTH_INVALID),
        (200, anthropic("timeout_error"), FailureClass.PROVIDER_TIMEOUT),
    ],
)
def test_anthropics_types_name_the_class(status: int, body: Any, expected: FailureClass) -> None:
    assert from_http(status, body).failure_class is expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, error("Your token has expired."), FailureClass.AUTH_EXPIRED),
        (401, error("Nope.", code="token_expired"), FailureClass.AUTH_EXPIRED),
        (401, error("It expired.", code="invalid_api_key"), FailureClass.AUTH_EXPIRED),
        (403, error("The API key expired."), FailureClass.AUTH_EXPIRED),
        (400, error("API key expired. Please renew the API key."), FailureClass.AUTH_EXPIRED),
        (400, error("API key not valid."), FailureClass.AUTH_INVALID),
        (400, error("The date has expired."), FailureClass.PERMANENT_UPSTREAM),
        (400, error("Your credit balance is too low."), FailureClass.QUOTA_EXCEEDED),
        (400, error("prompt is too long: 201 tokens > 200 maximum"), CONTEXT),
        (400, error("This model's maximum context length is 8192 tokens."), CONTEXT),
        (400, error("input length and `max_tokens` exceed context limit: 3 > 2"), CONTEXT),
        (400, error("Requested tokens exceed the context window."), CONTEXT),
        (413, error("Input is too long for requested model."), CONTEXT),
        (500, error("prompt is too long"), FailureClass.TRANSIENT_UPSTREAM),
        (400, error("Output blocked by content filtering policy"), POLICY),
        (400, error("It violates our usage policies."), POLICY),
        (403, error("Your input was flagged."), POLICY),
        (400, error(innererror={"code": "ResponsibleAIPolicyViolation"}), POLICY),
        (524, None, FailureClass.PROVIDER_TIMEOUT),
        (520, None, FailureClass.TRANSIENT_UPSTREAM),
    ],
)
def test_words_tell_where_codes_are_missing(status: int, body: Any, expected: FailureClass) -> None:
    assert from_http(status, body).failure_class is expected


@pytest.mark.parametrize(
    ("failure_class", "category", "retryable", "action"),
    [
        (FailureClass.AUTH_INVALID, Category.CREDENTIAL, False, Action.ROTATE_CREDENTIAL),
        (FailureClass.AUTH_EXPIRED, Category.CREDENTIAL, False, Action.ROTATE_CREDENTIAL),
        (FailureClass.PERMISSION_DENIED, Category.CREDENTIAL, False, Action.PROVIDER_FAILOVER),
        (FailureClass.RATE_LIMITED, Category.CAPACITY, True, Action.RETRY_AFTER),
        (FailureClass.QUOTA_EXCEEDED, Category.CAPACITY, False, Action.REEVALUATE_BUDGET),
        (FailureClass.TRANSIENT_UPSTREAM, Category.PROVIDER, True, Action.RETRY),
        (FailureClass.PERMANENT_UPSTREAM, Category.PROVIDER, False, Action.PROVIDER_FAILOVER),
        (FailureClass.CONTEXT_WINDOW_EXCEEDED, Category.REQUEST, False, Action.USER_ACTION),
        (FailureClass.CONTENT_POLICY_BLOCKED, Category.REQUEST, False, Action.FAIL_CLOSED),
        (FailureClass.MALFORMED_RESPONSE, Category.PROVIDER, False, Action.PROVIDER_FAILOVER),
        (FailureClass.NETWORK_UNAVAILABLE, Category.NETWORK, True, Action.RETRY),
        (FailureClass.PROVIDER_TIMEOUT, Category.NETWORK, False, Action.PROVIDER_FAILOVER),
    ],
)
def test_each_class_says_what_is_best_done(
    failure_class: FailureClass, category: Category, retryable: bool, action: Action
) -> None:
    traits = TRAITS[failure_class]
    assert (traits.category, traits.retryable, traits.action) == (category, retryable, action)


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
        pytest.param(400, error("API key not valid."), False, id="the key, said with a 400"),
        pytest.param(400, error(code="model_not_found"), False, id="the name, said with a 400"),
        pytest.param(403, error(code="content_filter"), True, id="a policy, whatever the status"),
        pytest.param(400, anthropic("invalid_request_error"), True, id="Anthropic's"),
        pytest.param(413, anthropic("request_too_large"), True, id="too large at Anthropic"),
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
        pytest.param(408, None, False, id="the request did not arrive in time"),
        pytest.param(504, None, True, id="a gateway gave up on a model at work"),
        pytest.param(524, None, True, id="another gateway did"),
        pytest.param(200, anthropic("overloaded_error"), True, id="broke off with a success"),
        pytest.param(200, anthropic("rate_limit_error"), False, id="turned away with a success"),
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
        pytest.param({"detail": "Busy."}, "The provider answered 429: Busy.", id="a detail"),
        pytest.param({"detail": [{"loc": []}]}, "The provider answered 429.", id="details"),
        pytest.param(
            {"object": "error", "message": "Busy.", "code": 429},
            "The provider answered 429: Busy.",
            id="not wrapped",
        ),
        pytest.param([error("Busy.")], "The provider answered 429: Busy.", id="in a list"),
        pytest.param([], "The provider answered 429.", id="an empty list"),
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


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    assert from_http(429, None, headers, now=NOW).retry_after == seconds


def test_a_date_says_nothing_without_a_clock() -> None:
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}) is None


@given(offset=st.integers(0, 10**6))
def test_a_date_is_as_far_away_as_it_is(offset: int) -> None:
    date = (NOW + timedelta(seconds=offset)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after({"retry-after": date}, NOW) == offset


@given(value=st.text(max_size=40))
def test_any_header_is_a_wait_or_none(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("status", "body", "word", "retryable"),
    [
        (429, error(), "", True),
        (429, error(), "false", False),
        (429, error(), "maybe", True),
        (429, error(code="insufficient_quota"), "", False),
        (429, anthropic("rate_limit_error", code="enforced_spend_limit_reached"), "", False),
        (401, error(), "true", True),
        (529, anthropic("overloaded_error"), "", True),
        (400, error(), "true", False),
        (400, error(code="content_filter"), "true", False),
        (404, error(), "", False),
    ],
)
def test_the_hosts_own_word_outranks_the_class_but_not_the_callers_fault(
    status: int, body: Any, word: str, retryable: bool
) -> None:
    assert from_http(status, body, {"x-should-retry": word}).retryable is retryable


def test_a_failure_in_mid_stream_says_so() -> None:
    failure = from_event(anthropic("overloaded_error", "Overloaded"))
    assert failure.message == "The provider broke off its answer: Overloaded"
    assert failure.failure_class is FailureClass.TRANSIENT_UPSTREAM
    assert from_event({}).message == "The provider broke off its answer."


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "details", "error_code", "detail"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(status=st.integers(100, 599), body=json, headers=st.dictionaries(st.text(), st.text()))
def test_any_answer_has_a_class(status: int, body: Any, headers: dict[str, str]) -> None:
    failure = from_http(status, body, headers, now=NOW)
    assert isinstance(failure.failure_class, FailureClass)
    assert failure.http_status == status
    assert failure.message
