"""Making sure that a call which nobody began is never begun."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError

from governance.calls.request import Caller
from governance.ledger import Unmade
from governance.ledger.store import LedgerStore
from providers.identifiers import new_id


def forestall(
    call_id: UUID,
    *,
    caller: Caller,
    task_class: str,
    requested_model: str,
    now: datetime,
    why: str,
) -> bool:
    """Enter the call `call_id` as one that was not made, in a transaction of its own; False if the
    ledger has a call of that name already, begun or not.

    Whoever was about to begin it, a process that only seemed dead, is then refused by the ledger.
    """
    unmade = Unmade(
        call_id=call_id,
        team_id=caller.team_id,
        admitted_at=now,
        failure_class="",
        error=why,
        row={
            "surface": caller.surface,
            "user_id": caller.user_id,
            "job_id": caller.job_id,
            "run_id": caller.run_id,
            "task_class": task_class,
            "requested_model": requested_model[:200],
        },
    )
    try:
        LedgerStore(new_id()).execute([unmade])
    except IntegrityError:
        return False
    return True
