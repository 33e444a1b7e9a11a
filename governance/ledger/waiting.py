"""Within one batch: the calls that wait for approval, and what was approved for one call alone.

Few batches have any, so few make a query here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from governance.ledger import rows
from governance.ledger.allowances import Allowance, Used
from governance.ledger.changes import dismissing
from governance.ledger.operations import AdmissionRequest, Dismissal
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetInterval,
    CallStatus,
    KeptCall,
    ModelCall,
)


@dataclass(slots=True)
class Waiting:
    """Locked for the batch: calls that wait, by id, and approvals that were not used yet."""

    calls: dict[UUID, ModelCall]
    approvals: dict[UUID, Approval]
    dismissed: list[ModelCall] = field(default_factory=list)
    used: list[Approval] = field(default_factory=list)
    gone: set[UUID] = field(default_factory=set)

    @classmethod
    def lock(cls, operations: Iterable[Any]) -> Waiting:
        """Whatever the operations name."""
        requests = [one for one in operations if isinstance(one, AdmissionRequest)]
        calls = {one.call_id for one in requests if one.waited}
        calls |= {one.call_id for one in operations if isinstance(one, Dismissal)}
        approvals = {pk for one in requests for pk in one.approvals}
        return cls(
            calls=_locked_calls(sorted(calls)) if calls else {},
            approvals=_locked_approvals(sorted(approvals)) if approvals else {},
        )

    def lost(self, request: AdmissionRequest) -> bool:
        """Whether the call was to have waited, and does not."""
        return request.waited and request.call_id not in self.calls

    def allowances(self, request: AdmissionRequest) -> Sequence[Allowance]:
        """What was approved for this call, and is its team's to use."""
        given = (self.approvals.get(pk) for pk in request.approvals)
        return [_allowance(one) for one in given if one and _is_for(one, request)]

    def use(self, used: Iterable[Used]) -> None:
        """Let nobody use them again."""
        for one in used:
            approval = self.approvals.pop(one.approval_id)
            approval.window_id = one.window_id
            self.used.append(approval)

    def begun(self, request: AdmissionRequest) -> None:
        """The call has a new row: the one that waited makes way for it."""
        if request.waited:
            self.gone.add(self.calls.pop(request.call_id).pk)

    def dismiss(self, dismissal: Dismissal) -> bool:
        """End a call that waits; False if it no longer does."""
        if not dismissing(dismissal, self.calls):
            return False
        self.dismissed.append(self.calls.pop(dismissal.call_id))
        return True

    def write(self) -> None:
        """Write what has changed; before new rows, which have the ids of those that go."""
        if self.gone:
            ModelCall.objects.filter(pk__in=self.gone).delete()
        rows.update(self.dismissed, ("status", "settled_at", "error", "cost"))
        rows.update(self.used, ("window",))


def _locked_calls(ids: Sequence[UUID]) -> dict[UUID, ModelCall]:
    waiting = ModelCall.objects.select_for_update().filter(pk__in=ids, status=CallStatus.WAITING)
    return {call.pk: call for call in waiting.order_by("pk")}


def _locked_approvals(ids: Sequence[UUID]) -> dict[UUID, Approval]:
    given = Approval.objects.select_for_update(of=("self",)).filter(
        pk__in=ids,
        status=ApprovalStatus.APPROVED,
        until=ApprovalUntil.CALL,
        window__isnull=True,
    )
    kept = KeptCall.objects.filter(pk=OuterRef("call_id"), ended_at__isnull=True)
    found = given.select_related("policy").annotate(for_kept_call=Exists(kept)).order_by("pk")
    return {one.pk: one for one in found}


def _is_for(approval: Any, request: AdmissionRequest) -> bool:
    """What is for a call that waits is its own; any other call of the team may use the rest."""
    own: bool = approval.call_id == request.call_id or not approval.for_kept_call
    return own and approval.team_id == request.subject.team_id


def _allowance(approval: Approval) -> Allowance:
    own = approval.policy.interval == BudgetInterval.RUN
    return Allowance(
        approval.pk, approval.policy_id, None if own else approval.scope_value, approval.amount
    )
