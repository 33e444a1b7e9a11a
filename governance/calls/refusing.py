"""What a caller is told of a call that the budgets refuse, and what is asked for on its behalf."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import connection
from django.utils import timezone

from governance import call_approvals
from governance.amounts import amount_json
from governance.budgets import UNKNOWN, Admission, BudgetEvaluation, tightest
from governance.calls.planning import CallPlan
from governance.errors import (
    ApprovalRequired,
    BudgetBlocked,
    CallError,
    CallWaits,
    RateLimited,
    UnpricedModel,
)
from governance.ledger import Dismissal, dismiss
from governance.models import Approval, CallStatus

ResultT = TypeVar("ResultT")
APPROVALS = "/api/v1/approvals"
CALLS = "/api/v1/calls"


async def refused(plan: CallPlan, admission: Admission) -> CallError:
    """The error for a call that `admission` blocks; where approval is all it lacks, it is asked
    for, and a call that may wait is kept until then."""
    error = await _error(plan, admission)
    return error.of_call(
        model=plan.route.chosen.name, cost=0, tightest=tightest(admission.evaluations)
    )


async def _error(plan: CallPlan, admission: Admission) -> CallError:
    if admission.needs_approval:
        return await _approval_asked(plan, admission)
    said = _telling(admission.refusals)
    if said.outcome == UNKNOWN:
        return UnpricedModel(said.explanation, call_id=plan.call_id, detail=_detail(said))
    if said.passes:
        wait = (said.resets_at - timezone.now()).total_seconds() if said.resets_at else 1.0
        return RateLimited(
            said.explanation, call_id=plan.call_id, detail=_detail(said), retry_after=max(1.0, wait)
        )
    return BudgetBlocked(said.explanation, call_id=plan.call_id, detail=_detail(said))


def _telling(refusals: Sequence[BudgetEvaluation]) -> BudgetEvaluation:
    """The refusal that says most: one that waiting does not help, else the one that lasts."""
    lasting = [said for said in refusals if not said.passes]
    return lasting[0] if lasting else max(refusals, key=_resets)


def _resets(said: BudgetEvaluation) -> float:
    return said.resets_at.timestamp() if said.resets_at else 0.0


async def _approval_asked(plan: CallPlan, admission: Admission) -> CallError:
    asked = call_approvals.Asked(
        call_id=plan.call_id, request=plan.request, refusals=admission.refusals
    )
    said = admission.refusals[0]
    kept = await _in_thread(lambda: _keep(asked)) if plan.request.may_wait else None
    waits = kept is not None
    approvals: list[Approval] = (
        await _in_thread(lambda: call_approvals.ask(asked, timezone.now()))
        if kept is None
        else kept
    )
    addresses = [
        {"id": str(one.pk), "url": f"{APPROVALS}/{one.pk}", "policy": refusal.policy}
        for one, refusal in zip(approvals, admission.refusals, strict=True)
    ]
    detail = _detail(said) | {
        "approval": addresses[0]["id"],
        "approval_url": addresses[0]["url"],
        "approvals": addresses,
    }
    if not waits:
        return ApprovalRequired(said.explanation, call_id=plan.call_id, detail=detail)
    detail["answer_url"] = f"{CALLS}/{plan.call_id}/answer"
    return CallWaits(
        f"{said.explanation} The call is kept, and made once that is approved.",
        call_id=plan.call_id,
        detail=detail,
    )


def _keep(asked: call_approvals.Asked) -> list[Approval] | None:
    """Keep the call that the ledger has entered as waiting. Where no more are kept, it is blocked
    as it would be had it not asked for that."""
    now = timezone.now()
    kept = call_approvals.keep(asked, now)
    if kept is None:
        error = asked.refusals[0].explanation
        dismiss(
            Dismissal(call_id=asked.call_id, status=CallStatus.BLOCKED, settled_at=now, error=error)
        )
    return kept


async def _in_thread(work: Callable[[], ResultT]) -> ResultT:
    def done() -> ResultT:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(done)


def _detail(said: BudgetEvaluation) -> dict[str, Any]:
    return {
        "policy": said.policy,
        "scope": said.scope,
        "scope_value": said.scope_value,
        "metric": said.metric,
        "interval": said.interval,
        "action": said.action,
        "limit": amount_json(said.metric, said.limit),
        "consumed": amount_json(said.metric, said.consumed),
        "held": amount_json(said.metric, said.held),
        "requested": amount_json(said.metric, said.requested),
        "resets_at": said.resets_at.isoformat() if said.resets_at else None,
    }
