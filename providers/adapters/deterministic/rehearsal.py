"""What a request is known by, and which requests are to fail."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from providers.failures import Failure, FailureClass
from providers.registry import ProviderEntry
from providers.requests import ChatRequest, EmbeddingsRequest, ModelRequest


@dataclass(frozen=True, slots=True)
class _Fitting:
    """What comes with a class of failure at a real provider."""

    http_status: int | None
    may_be_billed: bool = False
    callers_fault: bool = False


FITTING = {
    FailureClass.AUTH_INVALID: _Fitting(401),
    FailureClass.AUTH_EXPIRED: _Fitting(401),
    FailureClass.PERMISSION_DENIED: _Fitting(403),
    FailureClass.RATE_LIMITED: _Fitting(429),
    FailureClass.QUOTA_EXCEEDED: _Fitting(429),
    FailureClass.TRANSIENT_UPSTREAM: _Fitting(503),
    FailureClass.PERMANENT_UPSTREAM: _Fitting(404),
    FailureClass.CONTEXT_WINDOW_EXCEEDED: _Fitting(400, callers_fault=True),
    FailureClass.CONTENT_POLICY_BLOCKED: _Fitting(400, callers_fault=True),
    FailureClass.MALFORMED_RESPONSE: _Fitting(200, may_be_billed=True),
    FailureClass.NETWORK_UNAVAILABLE: _Fitting(None),
    FailureClass.PROVIDER_TIMEOUT: _Fitting(504, may_be_billed=True),
}


def rehearsed_failure(provider: ProviderEntry, digest: bytes) -> Failure | None:
    """The failure that the provider rehearses for this request, if it does."""
    if digest[0] * 100 >= provider.rehearsal_failure_percent * 256:
        return None
    failure_class = FailureClass(provider.rehearsal_failure_class)
    fitting = FITTING[failure_class]
    return Failure(
        failure_class=failure_class,
        message="This request is one of those that the provider rehearses a failure for.",
        http_status=fitting.http_status,
        may_be_billed=fitting.may_be_billed,
        callers_fault=fitting.callers_fault,
    )


def digest_of(request: ModelRequest) -> bytes:
    """The same for the same model and the same messages, input or sound."""
    asked: Any
    if isinstance(request, ChatRequest):
        asked = request.body.get("messages")
    elif isinstance(request, EmbeddingsRequest):
        asked = request.body.get("input")
    else:
        asked = hashlib.sha256(request.audio).hexdigest()
    named = [request.model.name, asked]
    return hashlib.sha256(orjson.dumps(named, option=orjson.OPT_SORT_KEYS)).digest()


def created(digest: bytes) -> int:
    """A time that is always the same for the same request, in Unix seconds."""
    return int.from_bytes(digest[:3], "big") + 1_700_000_000
