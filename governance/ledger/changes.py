"""What each operation does to the rows of a batch, once they are locked: no query is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from governance.budgets import Admission, Counter, Policy, WindowKey, admit
from governance.leases import BUSY
from governance.ledger.lease_counters import LockedLeases
from governance.ledger.operations import (
    AdmissionRequest,
    Admitted,
    Reheld,
    Rehold,
    Settlement,
    Unmade,
)
from governance.models import CallStatus, ModelCall

# A late settlement corrects what a sweep assumed: the owner was alive after all.
SETTLEABLE = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED)
LONGEST_ERROR = 500
GIVEN_UP = "The ledger gave this call up meanwhile, so it does not go on."

Wanted = Sequence[tuple[Policy, WindowKey]]


@dataclass(slots=True)
class LockedWindow:
    """A locked window's counter while a batch changes it."""

    counter: Counter
    changed: bool = False

    def add(self, *, consumed: int = 0, held: int = 0) -> None:
        self.counter = replace(
            self.counter,
            # A correction may take back more than is left after an operator's own; never below 0.
            consumed=max(0, self.counter.consumed + consumed),
            held=max(0, self.counter.held + held),
        )
        self.changed = True


@dataclass(frozen=True, slots=True)
class LockedWindows:
    """The locked windows of a batch, by id and by what names them."""

    by_id: dict[int, LockedWindow]
    ids: dict[WindowKey, int]

    def of(self, key: WindowKey) -> LockedWindow:
        return self.by_id[self.ids[key]]


def admitting(
    request: AdmissionRequest, wanted: Wanted, windows: LockedWindows, leases: LockedLeases
) -> tuple[Admitted, ModelCall | None]:
    """Take every hold and the lease, or none of them; the call's row unless it may yet be made at
    another provider: this one is busy, or stands in and is refused.

    Budgets speak first: a call that they refuse is refused at once and does not wait for a place.
    """
    admission = admit(
        request.demand, [(policy, key, windows.of(key).counter) for policy, key in wanted]
    )
    if admission.blocking is not None:
        row = None if request.stands_in else _blocked_row(request, admission)
        return Admitted(request.call_id, admission), row
    taken = leases.take(request.lease)
    if taken is None:
        return Admitted(request.call_id, admission, busy=True), None
    for hold in admission.holds:
        windows.by_id[hold.window_id].add(held=hold.amount)
    row = _row(request, admission)
    row.expires_at = request.expires_at
    row.holds = _holds(admission, request.expected)
    row.leases = taken.rows
    return Admitted(request.call_id, admission, taken.credential_id), row


def reholding(
    rehold: Rehold,
    calls: Mapping[UUID, ModelCall],
    wanted: Mapping[UUID, Wanted],
    windows: LockedWindows,
    leases: LockedLeases,
) -> Reheld:
    """Hold the new demand in place of the old and take the new lease, or leave all as it was."""
    call = calls.get(rehold.call_id)
    if call is None or call.status != CallStatus.IN_FLIGHT:
        return Reheld(refusal=GIVEN_UP)
    own = {hold["window"]: hold for hold in call.holds}
    admission = admit(
        rehold.demand,
        [
            (policy, key, _without(windows.of(key).counter, own.get(windows.ids[key])))
            for policy, key in wanted[rehold.call_id]
        ],
    )
    if admission.blocking is not None:
        return Reheld(refusal=admission.blocking.explanation)
    taken = leases.move(call.leases, rehold.lease)
    if taken is None:
        return Reheld(refusal=BUSY)
    call.leases = taken.rows
    held = {hold.window_id: hold.amount for hold in admission.holds}
    for window_id in own.keys() | held.keys():
        before = own[window_id]["amount"] if window_id in own else 0
        if window_id in windows.by_id:
            windows.by_id[window_id].add(held=held.get(window_id, 0) - before)
    kept = [{**hold, "amount": 0} for window, hold in own.items() if window not in held]
    call.holds = [*_holds(admission, rehold.expected), *kept]
    call.expires_at = rehold.expires_at
    for name, value in rehold.row.items():
        setattr(call, name, value)
    return Reheld(taken.credential_id)


def settle(
    settlement: Settlement,
    calls: Mapping[UUID, ModelCall],
    windows: LockedWindows,
    leases: LockedLeases,
) -> bool:
    """Replace the holds of a call by what it used; False if it is settled already, or unknown."""
    call = calls.get(settlement.call_id)
    if call is None or call.status not in SETTLEABLE:
        return False
    was_held = call.status == CallStatus.IN_FLIGHT
    for hold in call.holds:
        charge = settlement.charge(hold["metric"])
        window = windows.by_id.get(hold["window"])
        if window is not None:  # its policy may have been deleted meanwhile
            window.add(
                consumed=charge - hold.get("charged", 0), held=-hold["amount"] if was_held else 0
            )
        hold["charged"] = charge
    leases.release(call.leases)
    call.leases = []
    _fill(call, settlement)
    return True


def unmade_row(unmade: Unmade) -> ModelCall:
    """The row of a call that was never begun; nothing is charged."""
    return ModelCall(
        id=unmade.call_id,
        team_id=unmade.team_id,
        admitted_at=unmade.admitted_at,
        settled_at=unmade.admitted_at,
        status=CallStatus.FAILED,
        failure_class=unmade.failure_class,
        error=unmade.error[:LONGEST_ERROR],
        attempts=list(unmade.attempts),
        cost=0,
        **unmade.row,
    )


def _row(request: AdmissionRequest, admission: Admission) -> ModelCall:
    return ModelCall(
        id=request.call_id,
        team_id=request.subject.team_id,
        admitted_at=request.admitted_at,
        evaluations=[said.as_json() for said in admission.evaluations],
        **request.row,
    )


def _blocked_row(request: AdmissionRequest, admission: Admission) -> ModelCall:
    row = _row(request, admission)
    row.status = CallStatus.BLOCKED
    # Where it would have been answered from what was kept, nothing was.
    row.cached = False
    row.error = admission.blocking.explanation[:LONGEST_ERROR] if admission.blocking else ""
    row.settled_at = request.admitted_at
    return row


def _holds(admission: Admission, expected: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "window": hold.window_id,
            "metric": hold.metric,
            "amount": hold.amount,
            "expected": expected[hold.metric],
        }
        for hold in admission.holds
    ]


def _without(counter: Counter, own: Mapping[str, Any] | None) -> Counter:
    """The window as it would be without what the call itself holds on it."""
    return counter if own is None else replace(counter, held=max(0, counter.held - own["amount"]))


def _fill(call: ModelCall, settlement: Settlement) -> None:
    usage = settlement.usage
    call.status = settlement.status
    call.failure_class = settlement.failure_class
    call.error = settlement.error[:LONGEST_ERROR]
    call.settled_at = settlement.settled_at
    call.expires_at = None
    call.latency_ms = settlement.latency_ms
    call.first_token_ms = settlement.first_token_ms
    call.uncached_input_tokens = usage.uncached_input
    call.cache_read_tokens = usage.cache_read
    call.cache_write_5m_tokens = usage.cache_write_5m
    call.cache_write_1h_tokens = usage.cache_write_1h
    call.output_tokens = usage.output
    call.usage_reported = usage.reported
    call.cost = settlement.cost
    call.compared_cost = settlement.compared_cost
    call.attempts = list(settlement.attempts)
