"""Why a provider gave no answer: one taxonomy for every kind of provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        """What is best done about it."""
        return Action.USER_ACTION if self.callers_fault else self.traits.action

    @property
    def counts(self) -> bool:
        """Whether it speaks against the provider."""
        return self.traits.counts and not self.callers_fault


_BY_CODE = {
    "insufficient_quota": FailureClass.QUOTA_EXCEEDED,
    "billing_hard_limit_reached": FailureClass.QUOTA_EXCEEDED,
    "context_length_exceeded": FailureClass.CONTEXT_WINDOW_EXCEEDED,
    "content_filter": FailureClass.CONTENT_POLICY_BLOCKED,
    "content_policy_violation": FailureClass.CONTENT_POLICY_BLOCKED,
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
}
# What the request is to blame for. A 404 is not: the caller did not choose the upstream name.
_CALLERS_FAULT = {400, 413, 422}
SUCCESSES, REDIRECTS, ERRORS = range(200, 300), range(300, 400), range(400, 600)
SERVER_ERROR = 500


def from_http(status: int, body: Any) -> Failure:
    """The failure that an error answer stands for; `body` is its parsed JSON, or anything else.

    OpenAI's error body is `{"error": {"message", "type", "param", "code"}}`; a code it defines says
    more than the status does. The message is whole and may repeat a key: `invocation` redacts it.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    error = {"message": error} if isinstance(error, str) else error
    error = error if isinstance(error, Mapping) else {}
    meant = _meant(status, error)
    failure_class = (
        _BY_CODE.get(str(error.get("code")))
        or _BY_CODE.get(str(error.get("type")))
        or _BY_STATUS.get(meant)
        or (
            FailureClass.TRANSIENT_UPSTREAM
            if meant >= SERVER_ERROR
            else FailureClass.PERMANENT_UPSTREAM
        )
    )
    return Failure(
        failure_class=failure_class,
        message=_message(status, error.get("message")),
        http_status=status,
        # A success that turned into an error, or a gateway's patience at its end: work was done.
        may_be_billed=(status in SUCCESSES and meant >= SERVER_ERROR)
        or failure_class is FailureClass.PROVIDER_TIMEOUT,
        callers_fault=meant in _CALLERS_FAULT and failure_class is not FailureClass.QUOTA_EXCEEDED,
    )


def _meant(status: int, error: Mapping[str, Any]) -> int:
    """The status the provider means: some answer 200 and put the real one into the error."""
    if status not in SUCCESSES:
        return status
    code = error.get("code")
    return code if type(code) is int and code in ERRORS else SERVER_ERROR


def _message(status: int, said: Any) -> str:
    if status in REDIRECTS:
        return (
            f"The provider answered {status}, a redirect, and those are not followed. Its base URL "
            "is probably not right."
        )
    if isinstance(said, str) and said.strip():
        return f"The provider answered {status}: {said.strip()}"
    return f"The provider answered {status}."
