"""Runs whose call waits for approval: they end as that call does, once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from governance.models import CallStatus, KeptCall, ModelCall
from providers.requests import answer_text
from scheduling import calling
from scheduling.endings import Ended, finish
from scheduling.models import CronRun, RunStatus
from scheduling.outcomes import Attempt

MOST_AT_ONCE = 200
ANSWER_LOST = (
    "The call was approved and made, and the process that made it ended before it kept the answer; "
    "the ledger shows what is charged for it."
)
ENDS = {
    CallStatus.SUCCEEDED: RunStatus.UNCONFIRMED,
    CallStatus.UNCONFIRMED: RunStatus.UNCONFIRMED,
    CallStatus.DENIED: RunStatus.DENIED,
    CallStatus.BLOCKED: RunStatus.BLOCKED_BY_BUDGET,
    CallStatus.CANCELLED: RunStatus.CANCELLED,
    CallStatus.FAILED: RunStatus.FAILED,
}


def conclude(now: datetime, *, call_ids: Iterable[UUID] | None = None) -> int:
    """End the waiting runs whose calls have ended, or those of `call_ids` only; how many."""
    calls = ModelCall.objects.filter(pk=OuterRef("call_id"), status__in=ENDS)
    waiting = CronRun.objects.filter(
        Exists(calls), finished_at=None, status=RunStatus.WAITING_FOR_APPROVAL
    )
    if call_ids is not None:
        waiting = waiting.filter(call_id__in=list(call_ids))
    runs = list(waiting.select_related("job__team").order_by("slot")[:MOST_AT_ONCE])
    if not runs:
        return 0
    ids = [run.call_id for run in runs if run.call_id]
    entered = ModelCall.objects.in_bulk(ids)
    kept = KeptCall.objects.in_bulk(ids)
    ends = []
    for run in runs:
        call, answer = entered.get(run.call_id), kept.get(run.call_id)
        if call is not None and (ended := _ended(run, call, answer)):
            ends.append(Ended(run, ended))
    return finish(ends, now) if ends else 0


def _ended(run: CronRun, call: ModelCall, kept: KeptCall | None) -> Attempt | None:
    """How the run ended; None while its call waits or is made."""
    if kept is not None and kept.ended_at is None:
        return None
    columns = _columns(call)
    if kept is not None and kept.answer:
        text = answer_text(kept.answer["body"]).replace("\0", "")
        return calling.answered(run, text, columns)
    return as_entered(call) if call.status in ENDS else None


def as_entered(call: ModelCall) -> Attempt:
    """How a run ended whose call is in the ledger as ended, and gave no answer that was kept."""
    reason = ANSWER_LOST if call.status == CallStatus.SUCCEEDED else call.error
    return Attempt(
        status=ENDS[CallStatus(call.status)],
        reason=reason,
        failure_class=call.failure_class,
        passes=calling.passes(call.failure_class),
        columns=_columns(call),
    )


def _columns(call: ModelCall) -> dict[str, Any]:
    return {
        "model": f"{call.provider}/{call.model}"[:200],
        "explanation": " ".join(call.decision.get("explanation", ()))[:500],
        "input_tokens": None if call.total_tokens is None else _input_tokens(call),
        "output_tokens": call.output_tokens,
        "cost": call.cost,
    }


def _input_tokens(call: ModelCall) -> int:
    return (call.total_tokens or 0) - (call.output_tokens or 0)
