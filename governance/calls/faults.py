"""What a provider's failure is called to whoever made the call."""

from __future__ import annotations

from governance.calls.planning import CallPlan
from governance.errors import (
    CallError,
    ProviderFailed,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimedOut,
)
from providers.failures import Failure, FailureClass
from providers.requests import ModelRequest

KINDS: dict[FailureClass, type[ProviderFailed]] = {
    FailureClass.PROVIDER_TIMEOUT: ProviderTimedOut,
    FailureClass.RATE_LIMITED: ProviderRateLimited,
}
CODES = {
    FailureClass.CONTEXT_WINDOW_EXCEEDED: "context_length_exceeded",
    FailureClass.CONTENT_POLICY_BLOCKED: "content_policy_violation",
}
# What of a provider's status may be the client's too; any other is said as 400.
CLIENTS_STATUS = {400, 413, 422}
WAIT_SECONDS = 1.0


def provider_failed(
    plan: CallPlan, failure: Failure, request: ModelRequest, *, begun: bool = False
) -> CallError:
    """The error that the last attempt's failure stands for; `begun` if some of its answer came."""
    what = "broke its answer off" if begun else "gave no answer"
    message = f"{request.model.qualified_name} {what}. {failure.message}"
    detail = {
        "failure_class": failure.failure_class.value,
        "recommended_action": failure.action.value,
        "provider": request.model.provider.name,
        "upstream_status": failure.http_status,
    }
    if failure.callers_fault or failure.failure_class in CODES:
        refused = ProviderRefused(message, call_id=plan.call_id, detail=detail)
        refused.code = CODES.get(failure.failure_class, ProviderRefused.code)
        if failure.http_status in CLIENTS_STATUS:
            refused.status = failure.http_status
        return refused
    kind = KINDS.get(failure.failure_class, ProviderFailed)
    limited = kind is ProviderRateLimited
    wait = failure.retry_after or WAIT_SECONDS if limited else None
    return kind(message, call_id=plan.call_id, detail=detail, retry_after=wait)
