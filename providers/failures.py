"""Why a provider gave no answer: one taxonomy for every kind of provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FailureClass(StrEnum):
    """What went wrong, in terms that decide what to do about it."""

    AUTH_INVALID = "auth_invalid"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt.

    `message` is for people and holds no secret. `http_status` is the provider's, if it answered.
    `may_be_billed` is True where the provider may have done the work although no answer came.
    `callers_fault` is True where the provider refused the request itself, and would again.
    """

    failure_class: FailureClass
    message: str
    http_status: int | None = None
    may_be_billed: bool = False
    callers_fault: bool = False


_BY_CODE = {
    "insufficient_quota": FailureClass.QUOTA_EXCEEDED,
    "context_length_exceeded": FailureClass.CONTEXT_WINDOW_EXCEEDED,
    "content_filter": FailureClass.CONTENT_POLICY_BLOCKED,
    "content_policy_violation": FailureClass.CONTENT_POLICY_BLOCKED,
}
_BY_STATUS = {
    401: FailureClass.AUTH_INVALID,
    403: FailureClass.PERMISSION_DENIED,
    408: FailureClass.TRANSIENT_UPSTREAM,
    409: FailureClass.TRANSIENT_UPSTREAM,
    429: FailureClass.RATE_LIMITED,
    501: FailureClass.PERMANENT_UPSTREAM,
}
# What the request is to blame for. A 404 is not: the caller did not choose the upstream name.
_CALLERS_FAULT = {400, 413, 422}
SERVER_ERROR = 500
MESSAGE_LENGTH = 300


def from_http(status: int, body: Any) -> Failure:
    """The failure that an error answer stands for; `body` is its parsed JSON, or anything else.

    OpenAI's error body is `{"error": {"message", "type", "param", "code"}}`; a code it defines says
    more than the status does.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    error = error if isinstance(error, Mapping) else {}
    failure_class = (
        _BY_CODE.get(str(error.get("code")))
        or _BY_CODE.get(str(error.get("type")))
        or _BY_STATUS.get(status)
        or (
            FailureClass.TRANSIENT_UPSTREAM
            if status >= SERVER_ERROR
            else FailureClass.PERMANENT_UPSTREAM
        )
    )
    said = error.get("message")
    message = f"The provider answered {status}"
    if isinstance(said, str) and said.strip():
        message += f": {said.strip()[:MESSAGE_LENGTH]}"
    return Failure(
        failure_class=failure_class,
        message=message,
        http_status=status,
        callers_fault=status in _CALLERS_FAULT and failure_class is not FailureClass.QUOTA_EXCEEDED,
    )
