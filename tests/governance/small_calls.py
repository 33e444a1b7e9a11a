"""Small calls of a team, as the ledger's store is asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from governance.budgets import Demand, Subject
from governance.ledger import (
    AdmissionRequest,
    Admitted,
    Settlement,
)
from governance.ledger.operations import Result
from governance.models import (
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    Team,
)
from providers.identifiers import new_id
from providers.usage import Usage


def admission(
    team: Team, *, cost: int | None = 100, tokens: int = 50, **row: Any
) -> AdmissionRequest:
    now, call_id = timezone.now(), new_id()
    return AdmissionRequest(
        call_id=call_id,
        subject=Subject(team_id=team.pk, call_id=call_id),
        admitted_at=row.pop("admitted_at", now),
        expires_at=row.pop("expires_at", now + timedelta(minutes=2)),
        demand=Demand(cost=cost, input_tokens=tokens, output_tokens=0),
        expected={
            "cost": 40,
            "tokens": 20,
            "input_tokens": 12,
            "output_tokens": 8,
            "requests": 1,
        },
        row={
            "surface": "openai",
            "task_class": "primary_interactive",
            "requested_model": "m",
            "provider": "p",
            "model": "m",
            "estimate_upper": cost,
            "estimate_expected": None if cost is None else 40,
            "token_bound": tokens,
            "expected_input_tokens": 12,
            "expected_output_tokens": 8,
            **row,
        },
    )


def settlement(call_id: UUID, *, cost: int | None = 30, **fields: Any) -> Settlement:
    return Settlement(
        call_id=call_id,
        status=fields.pop("status", CallStatus.SUCCEEDED),
        settled_at=timezone.now(),
        usage=fields.pop("usage", Usage(uncached_input=10, output=5)),
        cost=cost,
        **fields,
    )


def admitted(results: Sequence[Result]) -> list[bool]:
    return [isinstance(one, Admitted) and one.admission.blocking is None for one in results]


def window_of(policy: BudgetPolicy, team: Team | None = None) -> tuple[int, int]:
    window = BudgetWindow.objects.get(policy=policy, scope_value=str(team.pk) if team else "")
    return window.consumed, window.held
