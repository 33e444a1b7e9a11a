"""The ledger's say before each further attempt: nothing is sent that was not held for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils import timezone

from governance.calls.planning import CallPlan, expiry
from governance.errors import LedgerUnavailable
from governance.leases import demand_for
from governance.ledger import Reheld, Rehold
from providers.invocation import Entered, Refused
from providers.registry import CredentialEntry
from providers.requests import ModelRequest

if TYPE_CHECKING:
    from governance.runtime import Runtime


class LedgerGate:
    """Holds for what comes next in place of what was held, and moves the lease with it."""

    def __init__(self, plan: CallPlan, runtime: Runtime) -> None:
        self._plan = plan
        self._runtime = runtime

    async def enter(
        self,
        request: ModelRequest,
        credentials: Sequence[CredentialEntry],
        billed: Sequence[ModelRequest],
    ) -> Entered | Refused:
        """Hold for `request` and for the failed attempts `billed`, with one of `credentials`."""
        plan = self._plan
        spending = plan.spending(request, tuple(billed))
        lease = demand_for(
            request.model.provider,
            tuple(credentials) or (None,),
            background=plan.in_background,
        )
        pending = self._runtime.ledger.submit(
            Rehold(
                call_id=plan.call_id,
                demand=spending.demand,
                expected=spending.expected,
                row=spending.columns(),
                expires_at=expiry(spending.option, timezone.now()),
                lease=lease if lease.keys else None,
            )
        )
        try:
            reheld: Reheld = await asyncio.wrap_future(pending)
        except LedgerUnavailable as error:
            return Refused(error.message)
        if reheld.refusal:
            return Refused(reheld.refusal)
        return Entered(_chosen(credentials, reheld.credential_id))


def _chosen(
    credentials: Sequence[CredentialEntry], credential_id: int | None
) -> CredentialEntry | None:
    if credential_id is None:
        return credentials[0] if credentials else None
    return next(one for one in credentials if one.id == credential_id)
