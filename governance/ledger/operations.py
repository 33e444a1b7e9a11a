"""What can be asked of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from governance.budgets import Admission, Demand
from governance.models import CallStatus
from providers.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """Ask to begin a call: hold `demand` on every budget of the team, and write the call's row.

    `row` has the row's other columns; `expected` says, by metric, what is charged if nobody ever
    says what the call used.
    """

    call_id: UUID
    team_id: int
    admitted_at: datetime
    expires_at: datetime
    demand: Demand
    expected: Mapping[str, int]
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The answer to an `AdmissionRequest`, committed: the call may begin if `admission` has holds
    and nothing blocks."""

    call_id: UUID
    admission: Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of a call: actual amounts replace its holds. `cost` is None if it is unknown."""

    call_id: UUID
    status: str
    settled_at: datetime
    usage: Usage
    cost: int | None
    requests: int = 1
    failure_class: str = ""
    error: str = ""
    latency_ms: int | None = None
    attempts: Sequence[Mapping[str, Any]] = field(default=())

    def charge(self, metric: str) -> int:
        """What is charged to a window of that metric."""
        charges = {"cost": self.cost or 0, "tokens": self.usage.total, "requests": self.requests}
        return charges[metric]


def never_sent(call_id: UUID, settled_at: datetime) -> Settlement:
    """The end of a call that never went to a provider: whatever was held for it is released."""
    return Settlement(
        call_id=call_id,
        status=CallStatus.CANCELLED,
        settled_at=settled_at,
        usage=Usage(reported=False),
        cost=0,
        requests=0,
        error="The call was given up before anything was sent; nothing is charged.",
    )


Operation = AdmissionRequest | Settlement
