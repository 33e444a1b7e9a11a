"""Why a provider gave no answer: one taxonomy for every kind of provider."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any


class FailureClass(StrEnum):
    """What went wrong, in terms that decide what to do about it."""

    AUTH_INVALID = "auth_invalid"
    AUTH_EXPIRED = "auth_expired"
    PERMISSION_DENIED = "permission_denied"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    TRANSIENT_UPSTREAM = "transient_upstream"
    PERMANENT_UPSTREAM = "permanent_upstream"
    CONTEXT_WINDOW_EXCEEDED = "context_window_exceeded"
    CONTENT_POLICY_BLOCKED = "content_policy_blocked"
    MALFORMED_RESPONSE = "malformed_response"
    NETWORK_UNAVAILABLE = "network_unavailable"
    PROVIDER_TIMEOUT = "provider_timeout"


class Category(StrEnum):
    """Whose matter a failure is."""

    CREDENTIAL = "credential"
    CAPACITY = "capacity"
    PROVIDER = "provider"
    NETWORK = "network"
    REQUEST = "request"


class Action(StrEnum):
    """What is best done about a failure."""

    RETRY = "retry"
    RETRY_AFTER = "retry_after"
    ROTATE_CREDENTIAL = "rotate_credential"
    PROVIDER_FAILOVER = "provider_failover"
    REEVALUATE_BUDGET = "reevaluate_budget"
    USER_ACTION = "user_action"
    FAIL_CLOSED = "fail_closed"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a class of failures means for what comes next.

    `retryable` says that the same attempt may succeed a moment later. `counts` says that it speaks
    against the provider, so that its breaker counts it.
    """

    category: Category
    retryable: bool
    action: Action
    counts: bool


TRAITS: Mapping[FailureClass, Traits] = {
    FailureClass.AUTH_INVALID: Traits(
        Category.CREDENTIAL, False, Action.ROTATE_CREDENTIAL, counts=True
    ),
    FailureClass.AUTH_EXPIRED: Traits(
        Category.CREDENTIAL, False, Action.ROTATE_CREDENTIAL, counts=True
    ),
    FailureClass.PERMISSION_DENIED: Traits(
        Category.CREDENTIAL, False, Action.PROVIDER_FAILOVER, counts=True
    ),
    FailureClass.RATE_LIMITED: Traits(Category.CAPACITY, True, Action.RETRY_AFTER, counts=True),
    FailureClass.QUOTA_EXCEEDED: Traits(
        Category.CAPACITY, False, Action.REEVALUATE_BUDGET, counts=True
    ),
    FailureClass.TRANSIENT_UPSTREAM: Traits(Category.PROVIDER, True, Action.RETRY, counts=True),
    FailureClass.PERMANENT_UPSTREAM: Traits(
        Category.PROVIDER, False, Action.PROVIDER_FAILOVER, counts=True
    ),
    FailureClass.CONTEXT_WINDOW_EXCEEDED: Traits(
        Category.REQUEST, False, Action.USER_ACTION, counts=False
    ),
    FailureClass.CONTENT_POLICY_BLOCKED: Traits(
        Category.REQUEST, False, Action.FAIL_CLOSED, counts=False
    ),
    FailureClass.MALFORMED_RESPONSE: Traits(
        Category.PROVIDER, False, Action.PROVIDER_FAILOVER, counts=True
    ),
    FailureClass.NETWORK_UNAVAILABLE: Traits(Category.NETWORK, True, Action.RETRY, counts=True),
    FailureClass.PROVIDER_TIMEOUT: Traits(
        Category.NETWORK, False, Action.PROVIDER_FAILOVER, counts=True
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt.

    `message` is for people and holds no secret. `http_status` is the provider's, if it answered.
    `may_be_billed` is True where the provider may have done the work although no answer came.
    `callers_fault` is True where the provider refused the request itself, and would again.
    `retry_after` is the seconds the provider asked to wait, and `should_retry` its own word on
    whether to try again (`x-should-retry`), None if it gave none.
    """

    failure_class: FailureClass
    message: str
    http_status: int | None = None
    may_be_billed: bool = False
    callers_fault: bool = False
    retry_after: float | None = None
    should_retry: bool | None = None

    @property
    def traits(self) -> Traits:
        """What its class means for what comes next."""
        return TRAITS[self.failure_class]

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed a moment later; never for the caller's own fault."""
        if self.callers_fault:
            return False
        return self.traits.retryable if self.should_retry is None else self.should_retry

    @property
    def action(self) -> Action:
        """What is best done about it: classes that are always about the request know best."""
        if self.callers_fault and self.traits.category is not Category.REQUEST:
            return Action.USER_ACTION
        return self.traits.action

    @property
    def counts(self) -> bool:
        """Whether it speaks against the provider."""
        return self.traits.counts and not self.callers_fault


# What hosts call a failure says more than the status they send it with.
_BY_CODE = {
    "invalid_api_key": FailureClass.AUTH_INVALID,
    "expired_api_key": FailureClass.AUTH_EXPIRED,
    "token_expired": FailureClass.AUTH_EXPIRED,
    "organization_on_hold": FailureClass.PERMISSION_DENIED,
    "cmek_key_disabled": FailureClass.PERMISSION_DENIED,
    "cmek_key_network_blocked": FailureClass.PERMISSION_DENIED,
    "insufficient_quota": FailureClass.QUOTA_EXCEEDED,
    "billing_error": FailureClass.QUOTA_EXCEEDED,
    "billing_hard_limit_reached": FailureClass.QUOTA_EXCEEDED,
    "billing_not_active": FailureClass.QUOTA_EXCEEDED,
    "enforced_spend_limit_reached": FailureClass.QUOTA_EXCEEDED,
    "contract_spend_limit_reached": FailureClass.QUOTA_EXCEEDED,
    "linked_organization_spend_limit_reached": FailureClass.QUOTA_EXCEEDED,
    "context_length_exceeded": FailureClass.CONTEXT_WINDOW_EXCEEDED,
    "model_context_window_exceeded": FailureClass.CONTEXT_WINDOW_EXCEEDED,
    "content_filter": FailureClass.CONTENT_POLICY_BLOCKED,
    "content_policy_violation": FailureClass.CONTENT_POLICY_BLOCKED,
    "responsibleaipolicyviolation": FailureClass.CONTENT_POLICY_BLOCKED,
}
_BY_STATUS = {
    401: FailureClass.AUTH_INVALID,
    402: FailureClass.QUOTA_EXCEEDED,
    403: FailureClass.PERMISSION_DENIED,
    408: FailureClass.TRANSIENT_UPSTREAM,
    409: FailureClass.TRANSIENT_UPSTREAM,
    429: FailureClass.RATE_LIMITED,
    501: FailureClass.PERMANENT_UPSTREAM,
    504: FailureClass.PROVIDER_TIMEOUT,
    524: FailureClass.PROVIDER_TIMEOUT,
}
# Where a code is missing, the words must do. The first that fits, of those for the status.
_BY_WORDS = tuple(
    (statuses, re.compile(pattern, re.IGNORECASE), failure_class)
    for statuses, pattern, failure_class in (
        ({401}, r"\bexpired\b", FailureClass.AUTH_EXPIRED),
        ({400, 403}, r"(key|token|credentials?) (has |is )?expired", FailureClass.AUTH_EXPIRED),
        (
            {400},
            r"(invalid|incorrect) api key|api key (is )?(not valid|invalid)",
            FailureClass.AUTH_INVALID,
        ),
        ({400, 403}, r"credit balance is too low", FailureClass.QUOTA_EXCEEDED),
        (
            {400, 413, 422},
            r"prompt is too long|maximum context length|exceed(s|ed)? (the )?(\w+ )?context"
            r"|context (window|length|limit)|input is too long",
            FailureClass.CONTEXT_WINDOW_EXCEEDED,
        ),
        (
            {400, 403, 422},
            r"content (filtering|management|usage|safety)? ?polic|usage polic|safety system"
            r"|input was flagged",
            FailureClass.CONTENT_POLICY_BLOCKED,
        ),
    )
)
# The status that an error means where it comes with a success: in a stream, say.
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "gateway_timeout_error": 504,
    "overloaded_error": 529,
}
# What the request is to blame for, if it is for anything. A 404 is not: the caller did not choose
# the upstream's name.
_CALLERS_FAULT = {400, 413, 422}
_REQUEST_CLASSES = {FailureClass.PERMANENT_UPSTREAM, FailureClass.CONTEXT_WINDOW_EXCEEDED}
_REGISTRYS_FAULT = {"model_not_found", "invalid_model", "unknown_model", "deploymentnotfound"}
SUCCESSES, REDIRECTS, ERRORS = range(200, 300), range(300, 400), range(400, 600)
SERVER_ERROR = 500
# Characters of a host's message; what is more would only take time to look through.
MOST_SAID = 8192
BROKEN_OFF = "The provider broke off its answer"


def from_http(
    status: int,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    now: datetime | None = None,
) -> Failure:
    """The failure that an error answer stands for; `body` is its parsed JSON, or anything else.

    OpenAI's error body is `{"error": {"message", "type", "param", "code"}}`, Anthropic's
    `{"type": "error", "error": {"type", "message", "details"}}`. `headers` have lower-case names;
    `now` is for a date in them. The message may repeat a key: `redaction` makes it presentable.
    """
    error = _error(body)
    failure = _classified(status, error, _message(status, error))
    return _advised(failure, headers, now) if headers else failure


def from_event(body: Any) -> Failure:
    """The failure that an event of a streamed answer says: it came after a success."""
    error = _error(body)
    said = _said(error)
    return _classified(
        SUCCESSES.start, error, f"{BROKEN_OFF}: {said}" if said else f"{BROKEN_OFF}."
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds a host asks to wait: in milliseconds, in seconds, or until a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    try:
        date = parsedate_to_datetime(headers["retry-after"])
        return None if now is None else max(0.0, (date - now).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _error(body: Any) -> Mapping[str, Any]:
    """The object that describes the error, wherever a host puts it."""
    if isinstance(body, list):
        body = next(iter(body), None)
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error") or body.get("detail") or body
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, Mapping) else {}


def _classified(status: int, error: Mapping[str, Any], message: str) -> Failure:
    codes = _codes(error)
    meant = _meant(status, error, codes)
    failure_class = _class(meant, codes, _said(error))
    policy = failure_class is FailureClass.CONTENT_POLICY_BLOCKED
    return Failure(
        failure_class=failure_class,
        message=message,
        http_status=status,
        # A success that turned into an error, or a gateway's patience at its end: work was done.
        may_be_billed=(status in SUCCESSES and meant >= SERVER_ERROR)
        or failure_class is FailureClass.PROVIDER_TIMEOUT,
        callers_fault=policy
        or (
            meant in _CALLERS_FAULT
            and failure_class in _REQUEST_CLASSES
            and _REGISTRYS_FAULT.isdisjoint(codes)
        ),
    )


def _class(meant: int, codes: tuple[str, ...], said: str) -> FailureClass:
    for code in codes:
        if code in _BY_CODE:
            return _narrowed(_BY_CODE[code], said)
    for statuses, pattern, failure_class in _BY_WORDS:
        if meant in statuses and pattern.search(said):
            return failure_class
    return _BY_STATUS.get(meant) or (
        FailureClass.TRANSIENT_UPSTREAM
        if meant >= SERVER_ERROR
        else FailureClass.PERMANENT_UPSTREAM
    )


def _narrowed(failure_class: FailureClass, said: str) -> FailureClass:
    """An invalid key that is said to have expired was valid once."""
    expired = failure_class is FailureClass.AUTH_INVALID and "expired" in said.lower()
    return FailureClass.AUTH_EXPIRED if expired else failure_class


def _codes(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything the error calls itself, the most telling first, in lower case."""
    details, inner = error.get("details"), error.get("innererror")
    named = (
        details.get("error_code") if isinstance(details, Mapping) else None,
        inner.get("code") if isinstance(inner, Mapping) else None,
        error.get("code"),
        error.get("type"),
    )
    return tuple(code.lower() for code in named if isinstance(code, str))


def _meant(status: int, error: Mapping[str, Any], codes: tuple[str, ...]) -> int:
    """The status the provider means: some answer 200 and put the real one into the error."""
    if status not in SUCCESSES:
        return status
    code = error.get("code")
    if type(code) is int and code in ERRORS:
        return code
    return next((_STATUS_OF[one] for one in codes if one in _STATUS_OF), SERVER_ERROR)


def _said(error: Mapping[str, Any]) -> str:
    said = error.get("message")
    return said[:MOST_SAID].strip() if isinstance(said, str) else ""


def _message(status: int, error: Mapping[str, Any]) -> str:
    if status in REDIRECTS:
        return (
            f"The provider answered {status}, a redirect, and those are not followed. Its base URL "
            "is probably not right."
        )
    said = _said(error)
    return f"The provider answered {status}: {said}" if said else f"The provider answered {status}."


def _advised(failure: Failure, headers: Mapping[str, str], now: datetime | None) -> Failure:
    """With what the host says of trying again."""
    word = headers.get("x-should-retry", "").strip().lower()
    return replace(
        failure,
        retry_after=retry_after(headers, now),
        should_retry={"true": True, "false": False}.get(word),
    )
