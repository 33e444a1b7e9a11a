"""What can be asked of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from governance.budgets import Admission, Demand, Subject
from governance.leases import LeaseDemand
from governance.models import CallStatus
from providers.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """Ask to begin a call: hold `demand` on every budget of the team, take a lease of its provider,
    and write the call's row.

    `row` has the row's other columns; `expected` says, by metric, what is charged if nobody ever
    says what the call used. A provider without limits needs no `lease`. With `stands_in` it is for
    another than the model chosen: if budgets refuse that one, no row is written. `shorter` makes
    the same request with a lower output cap, for budgets that do not pay for all of it. With
    `degrades` there are cheaper models to ask for: where all budgets that refuse want that, no row
    is written, and nothing shortened. `tightest` gives the least that the call might take, once
    its input is counted: where budgets refuse the call and would pay for that, no row is written
    either, and the answer is `countable`. `approvals` are those that were given for this one call;
    one that is used up is the call's for good. With `waits_for_approval` a call that lacks nothing
    but approval is entered as one that waits for it, and with `waited` it is such a one: it begins
    if, and only if, it is still waiting.
    """

    call_id: UUID
    subject: Subject
    admitted_at: datetime
    expires_at: datetime
    demand: Demand
    expected: Mapping[str, int]
    row: Mapping[str, Any]
    lease: LeaseDemand | None = None
    stands_in: bool = False
    shorter: Shorter | None = None
    degrades: bool = False
    tightest: Callable[[], Demand | None] | None = None
    approvals: tuple[UUID, ...] = ()
    waits_for_approval: bool = False
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Shorter:
    """How far the output cap of a call may be lowered, from `most` to `floor`, and what it takes
    and is then: the caps are tokens, those of each choice. A lower cap never takes more."""

    floor: int
    most: int
    demand: Callable[[int], Demand]
    at_cap: Callable[[int], AdmissionRequest]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The answer to an `AdmissionRequest`, committed: the call may begin if nothing in `admission`
    blocks, with the credential `credential_id` if a lease was asked for, and with `output_cap` in
    place of its own if that is not None.

    With `countable` budgets refuse what the call may take by its bound, and may pay for it once its
    input is counted: no row was written. With `busy` the provider has no room: nothing was held,
    and no row written. With `gone` the call had waited for approval and no longer does: whoever
    else began or ended it did so for good.
    """

    call_id: UUID
    admission: Admission
    credential_id: int | None = None
    busy: bool = False
    countable: bool = False
    output_cap: int | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehold:
    """Ask to go on with a call in flight elsewhere, or once more: hold `demand` instead of what is
    held, and take `lease` in place of the one it has.

    `row` has the columns that change with it. Where it is refused, everything stays as it was.
    """

    call_id: UUID
    demand: Demand
    expected: Mapping[str, int]
    row: Mapping[str, Any]
    expires_at: datetime
    lease: LeaseDemand | None = None


@dataclass(frozen=True, slots=True)
class Reheld:
    """The answer to a `Rehold`: refused if `refusal` says why, in words."""

    credential_id: int | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmade:
    """A call that was never begun because no provider could take it: its row, for the record."""

    call_id: UUID
    team_id: int
    admitted_at: datetime
    failure_class: str
    error: str
    row: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of a call: actual amounts replace its holds. `cost` is None if it is unknown;
    `compared_cost` is what the other choice of model would have cost, None if none is compared.
    With `owner` it ends the call only if that process holds it."""

    call_id: UUID
    status: str
    settled_at: datetime
    usage: Usage
    cost: int | None
    compared_cost: int | None = None
    requests: int = 1
    failure_class: str = ""
    error: str = ""
    latency_ms: int | None = None
    first_token_ms: int | None = None
    attempts: Sequence[Mapping[str, Any]] = field(default=())
    owner: UUID | None = None

    def charge(self, metric: str) -> int:
        """What is charged to a window of that metric."""
        charges = {
            "cost": self.cost or 0,
            "tokens": self.usage.total,
            "input_tokens": self.usage.total - self.usage.output,
            "output_tokens": self.usage.output,
            "requests": self.requests,
        }
        return charges[metric]


def never_sent(call_id: UUID, settled_at: datetime, *, owner: UUID | None = None) -> Settlement:
    """The end of a call that never went to a provider: whatever was held for it is released. With
    `owner` only what that process holds: another may have begun a call that waited for approval."""
    return Settlement(
        call_id=call_id,
        status=CallStatus.CANCELLED,
        settled_at=settled_at,
        usage=Usage(reported=False),
        cost=0,
        requests=0,
        error="The call was given up before anything was sent; nothing is charged.",
        owner=owner,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismissal:
    """The end of a call that waited for approval and is not made: it is `denied`, or `blocked`
    where nobody was left to decide, or `cancelled` by whoever asked for it. Nothing was held, and
    nothing is charged."""

    call_id: UUID
    status: str
    settled_at: datetime
    error: str


Operation = AdmissionRequest | Rehold | Unmade | Settlement | Dismissal
Result = Admitted | Reheld | bool
