"""Calls that need approval, and what comes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from governance.ledger import AdmissionRequest, Admitted
from governance.ledger.store import LedgerStore
from governance.models import (
    Approval,
    BudgetPolicy,
    BudgetWindow,
    Team,
)
from providers.identifiers import new_id
from tests.governance.small_calls import admission

LIMIT = 1000


def approved(policy: BudgetPolicy, team: Team, amount: int, **fields: Any) -> Approval:
    """An approval for one call, as it is once somebody has said yes."""
    approval: Approval = Approval.objects.create(
        team=team,
        policy=policy,
        amount=amount,
        **{
            "scope_value": str(team.pk) if policy.scope == "team" else "",
            "until": "call",
            "call_id": new_id(),
            "status": "approved",
            "reason": "Blocked.",
            **fields,
        },
    )
    return approval


def asked(team: Team, cost: int, *given: Approval) -> AdmissionRequest:
    return replace(admission(team, cost=cost), approvals=tuple(one.pk for one in given))


def began(store: LedgerStore, request: AdmissionRequest) -> bool:
    (answer,) = store.execute([request])
    assert isinstance(answer, Admitted)
    return answer.admission.blocking is None


def counters(policy: BudgetPolicy) -> tuple[int, int, int]:
    """Consumed, held, and what the limit was raised by."""
    window = BudgetWindow.objects.get(policy=policy)
    return window.consumed, window.held, window.raised_by


def used(approval: Approval) -> bool:
    approval.refresh_from_db()
    return approval.window_id is not None


def fill(store: LedgerStore, team: Team, cost: int) -> UUID:
    """Another call of the team, under way."""
    request = admission(team, cost=cost)
    assert began(store, request)
    return request.call_id
