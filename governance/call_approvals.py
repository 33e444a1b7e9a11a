"""Approvals that a blocked call asks for itself, and calls that are kept until they are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from governance.budgets import BudgetEvaluation
from governance.models import Approval, ApprovalStatus, ApprovalUntil, KeptCall

if TYPE_CHECKING:
    from governance.calls.request import CallRequest

# How long a call waits for somebody to decide.
WAITS_FOR = timedelta(days=7)
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call that is blocked, and what approval it lacks."""

    call_id: UUID
    request: CallRequest
    refusals: Sequence[BudgetEvaluation]


def ask(asked: Asked, now: datetime) -> list[Approval]:
    """The requests that would let such a call through, in the order of its refusals. One that waits
    already is not asked again."""
    with transaction.atomic():
        return [_waiting(asked, said) or _made(asked, said, now) for said in asked.refusals]


def keep(asked: Asked, now: datetime) -> list[Approval]:
    """Ask for what this very call lacks, and keep it until that is decided."""
    with transaction.atomic():
        approvals = [_made(asked, said, now) for said in asked.refusals]
        KeptCall.objects.create(
            id=asked.call_id,
            team_id=asked.request.caller.team_id,
            request=_written(asked.request),
            created_at=now,
            expires_at=now + WAITS_FOR,
        )
    return approvals


def _written(request: CallRequest) -> dict[str, Any]:
    """The request as JSON; `kept_calls` reads it again."""
    caller = asdict(request.caller)
    for name in ("job_id", "run_id"):
        caller[name] = str(caller[name]) if caller[name] else None
    return {
        "caller": caller,
        "body": request.body,
        "role": request.role,
        "task_class": request.task_class,
        "routing_mode": request.routing_mode,
    }


def _waiting(asked: Asked, said: BudgetEvaluation) -> Approval | None:
    """A request of the same key or person for as much, which no kept call has for itself."""
    caller = asked.request.caller
    pending: Approval | None = (
        Approval.objects.filter(
            status=ApprovalStatus.PENDING,
            until=ApprovalUntil.CALL,
            team_id=caller.team_id,
            policy_id=said.policy_id,
            scope_value=said.scope_value,
            api_key_id=caller.api_key_id,
            requested_by_id=caller.user_id,
            amount__gte=said.requested or 0,
        )
        .exclude(call_id__in=KeptCall.objects.filter(ended_at__isnull=True).values("pk"))
        .first()
    )
    return pending


def _made(asked: Asked, said: BudgetEvaluation, now: datetime) -> Approval:
    caller = asked.request.caller
    approval: Approval = Approval.objects.create(
        team_id=caller.team_id,
        policy_id=said.policy_id,
        scope_value=said.scope_value,
        amount=max(1, said.requested or 0),
        until=ApprovalUntil.CALL,
        call_id=asked.call_id,
        api_key_id=caller.api_key_id,
        requested_by_id=caller.user_id,
        requested_at=now,
        reason=said.explanation[:LONGEST_REASON],
    )
    return approval
