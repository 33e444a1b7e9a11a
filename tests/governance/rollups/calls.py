"""Calls of one noon, and how they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from governance.budgets import Demand, Subject
from governance.ledger import AdmissionRequest, Settlement, Unmade
from governance.models import (
    CallStatus,
    Team,
)
from providers.identifiers import new_id
from providers.usage import Usage

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def admission(team: Team, at: datetime = NOON, **row: Any) -> AdmissionRequest:
    call_id = new_id()
    where = {"provider": row.pop("provider", "p"), "model": row.pop("model", "m")}
    who = {"session": row.pop("session", ""), "job_id": row.pop("job_id", None)}
    return AdmissionRequest(
        call_id=call_id,
        subject=Subject(team_id=team.pk, call_id=call_id, **where, **who),
        admitted_at=at,
        expires_at=at + timedelta(minutes=2),
        demand=Demand(cost=100, input_tokens=40, output_tokens=10),
        expected={"cost": 40, "tokens": 20, "input_tokens": 12, "output_tokens": 8, "requests": 1},
        row={
            "surface": "openai",
            "task_class": "primary_interactive",
            "requested_model": "m",
            "estimate_upper": 100,
            "estimate_expected": 40,
            **where,
            **who,
            **row,
        },
    )


def settlement(call_id: UUID, **fields: Any) -> Settlement:
    defaults = {
        "status": CallStatus.SUCCEEDED,
        "settled_at": NOON,
        "usage": Usage(uncached_input=10, cache_read=3, output=5),
        "cost": 30,
        "latency_ms": 250,
    }
    return Settlement(call_id=call_id, **{**defaults, **fields})


def unmade(team: Team) -> Unmade:
    request = admission(team)
    return Unmade(
        call_id=request.call_id,
        team_id=team.pk,
        admitted_at=request.admitted_at,
        failure_class="transient_upstream",
        error="No provider.",
        row=request.row,
    )
