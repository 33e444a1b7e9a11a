"""Why a call was refused or failed, in words and codes that every surface can show."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

if TYPE_CHECKING:
    from governance.budgets import BudgetEvaluation


class CallError(Exception):
    """A call that gave no answer.

    `status` is the HTTP status, `type` and `code` are OpenAI's error fields, `param` names the
    request's field at fault, `detail` is machine-readable, `call_id` is the ledger row if there is
    one, `retryable` says whether clients should try the same request again by themselves, and
    `retry_after` is the seconds to wait before anyone does, None if nobody said. Of a call that is
    in the ledger, `model` is where it went or was to go, `cost` its nano-dollars, None if unknown,
    and `tightest` the budget with the least left.
    """

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        call_id: UUID | None = None,
        detail: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.message = message
        self.param = param
        self.call_id = call_id
        self.detail = dict(detail or {})
        self.model = ""
        self.cost: int | None = None
        self.tightest: BudgetEvaluation | None = None

    @property
    def seconds_to_wait(self) -> int | None:
        """Whole seconds until it may be tried again, at least one; None if nobody says."""
        wait = self.retry_after
        if wait is None and not self.retryable:
            return None
        return max(1, ceil(wait or 0))

    def of_call(self, *, model: str, cost: int | None, tightest: BudgetEvaluation | None) -> Self:
        """The same error, with what is known of its call."""
        self.model, self.cost, self.tightest = model, cost, tightest
        return self


class InvalidRequest(CallError):
    """The request cannot be made, by anyone, ever."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class UnknownModel(CallError):
    """No enabled model has that name."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class ModelNotAllowed(CallError):
    """There is such a model, and the team may not use it."""

    status = 403
    type = "invalid_request_error"
    code = "model_not_allowed"


class BudgetBlocked(CallError):
    """A hard limit does not leave what the call may cost.

    `detail` holds policy, scope, metric, limit, consumed, held, requested and resets_at.
    """

    status = 402
    type = "budget_error"
    code = "budget_exceeded"


class RateLimited(BudgetBlocked):
    """So many requests or tokens a minute leave no room now; they will, and a client may wait."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True


class ApprovalRequired(BudgetBlocked):
    """The call takes a budget past its limit, which somebody may approve.

    `detail` also holds `approval`, the request's identifier, and `approval_url`, where it stands.
    """

    code = "approval_required"


class CallWaits(ApprovalRequired):
    """The call is kept, and is made once it is approved: that is no failure.

    `detail` also holds `answer_url`, where its answer will be.
    """

    status = 202
    code = "waiting_for_approval"


class CallGone(CallError):
    """The call had waited for approval; it was begun already, or is not to be made."""

    status = 409
    type = "invalid_request_error"
    code = "call_gone"


class CallTimedOut(CallError):
    """Nobody waits any longer for the call, which a provider may be at work on."""

    status = 504
    code = "timed_out"


class UnpricedModel(CallError):
    """The model has no price, so a cost budget cannot hold for it."""

    status = 402
    type = "budget_error"
    code = "unpriced_model"


class LedgerUnavailable(CallError):
    """The hold could not be written, so nothing was sent."""

    status = 503
    type = "server_error"
    code = "ledger_unavailable"
    retryable = True


class CallUnsettled(CallError):
    """The call was made, or may have been, and its end could not be written: what it costs is
    entered later, as if its process had died."""

    status = 503
    code = "call_unsettled"


class ProviderRefused(CallError):
    """The provider judged the request itself to be at fault, and would again.

    `status` is the provider's own where that is for clients (400, 413, 422).
    """

    status = 400
    type = "invalid_request_error"
    code = "provider_refused"


class ProviderFailed(CallError):
    """The provider gave no usable answer; `detail["failure_class"]` says how."""

    status = 502
    type = "provider_error"
    code = "provider_failed"


class ProviderTimedOut(ProviderFailed):
    """The provider did not answer in time; it may have done the work, and bill it."""

    status = 504
    code = "provider_timeout"


class ProviderRateLimited(ProviderFailed):
    """The provider takes no more calls for now, and no other could stand in."""

    status = 429
    code = "provider_rate_limited"


class ProviderUnavailable(ProviderFailed):
    """No provider could take the call just now, so nothing was sent: it may be tried again."""

    status = 503
    code = "provider_unavailable"
    retryable = True


def in_one_line(error: Exception) -> str:
    """What an error says first: the database's errors run over several lines."""
    return str(error).partition("\n")[0] or type(error).__name__
