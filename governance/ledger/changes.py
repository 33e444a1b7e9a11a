"""What each operation does to the rows of a batch, once they are locked: no query is made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from governance.budgets import (
    Admission,
    Counter,
    Demand,
    Policy,
    WindowKey,
    admit,
    largest,
    together,
)
from governance.leases import BUSY
from governance.ledger.allowances import (
    Allowance,
    Standing,
    Used,
    going_on,
    taken,
    with_allowances,
)
from governance.ledger.lease_counters import LockedLeases
from governance.ledger.operations import (
    AdmissionRequest,
    Admitted,
    Dismissal,
    Reheld,
    Rehold,
    Settlement,
    Shorter,
    Unmade,
)
from governance.models import CallStatus, ModelCall

# A late settlement corrects what a sweep assumed: the owner was alive after all.
SETTLEABLE = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED)
LONGEST_ERROR = 500
GIVEN_UP = "The ledger gave this call up meanwhile, so it does not go on."

# A policy, the window that a call is counted on, and all that say how much of it is used.
Wanted = Sequence[tuple[Policy, WindowKey, Sequence[WindowKey]]]


@dataclass(slots=True)
class LockedWindow:
    """A locked window's counter while a batch changes it."""

    counter: Counter
    changed: bool = False

    def add(self, *, consumed: int = 0, held: int = 0, raised_by: int = 0) -> None:
        self.counter = replace(
            self.counter,
            # A correction may take back more than is left after an operator's own; never below 0.
            consumed=max(0, self.counter.consumed + consumed),
            held=max(0, self.counter.held + held),
            raised_by=max(0, self.counter.raised_by + raised_by),
        )
        self.changed = True


@dataclass(frozen=True, slots=True)
class LockedWindows:
    """The locked windows of a batch, by id and by what names them. `now` is when it is decided."""

    by_id: dict[int, LockedWindow]
    ids: dict[WindowKey, int]
    now: datetime

    def named(self) -> list[tuple[WindowKey, Counter]]:
        """The windows that calls named, as they stand."""
        return [(key, self.by_id[pk].counter) for key, pk in self.ids.items()]

    def standing(
        self, wanted: Wanted, own: Mapping[int, int] | None = None
    ) -> list[tuple[Policy, WindowKey, Counter]]:
        """How each policy stands, without what the call itself holds: `own`, by window."""
        return [
            (policy, key, together(policy, key, self._counters(keys, own or {}), self.now))
            for policy, key, keys in wanted
        ]

    def _counters(
        self, keys: Sequence[WindowKey], own: Mapping[int, int]
    ) -> Iterator[tuple[WindowKey, Counter]]:
        for key in keys:
            # A bucket that nothing was counted on has no row.
            window = self.by_id.get(self.ids.get(key, 0))
            if window is not None:
                held = own.get(window.counter.window_id, 0)
                yield key, _without(window.counter, held) if held else window.counter


def admitting(
    request: AdmissionRequest,
    wanted: Wanted,
    windows: LockedWindows,
    leases: LockedLeases,
    allowances: Sequence[Allowance] = (),
) -> tuple[Admitted, ModelCall | None, tuple[Used, ...]]:
    """Take every hold and the lease, or none of them; the call's row unless it may yet be made at
    another provider: this one is busy, or stands in and is refused. And which of the `allowances`
    that were given for it are used up.

    Budgets speak first: a call that they refuse is refused at once and does not wait for a place.
    """
    standing, cap = windows.standing(wanted), None
    admission, used = _said(request.demand, standing, allowances)
    if admission.blocking is not None and _worth_counting(request, standing, allowances):
        return Admitted(request.call_id, admission, countable=True), None, ()
    if request.degrades and admission.may_degrade:
        return Admitted(request.call_id, admission), None, ()
    if admission.blocking is not None and request.shorter is not None:
        cap = _cap_paid_for(request.shorter, standing, allowances)
        if cap is not None:
            request = replace(request.shorter.at_cap(cap), lease=request.lease)
            admission, used = _said(request.demand, standing, allowances)
    if admission.blocking is not None:
        # One that has waited for a person is not lost to a rate that passes in a moment.
        waits_on = request.waited and all(said.passes for said in admission.refusals)
        row = None if request.stands_in or waits_on else _blocked_row(request, admission)
        return Admitted(request.call_id, admission), row, ()
    lease = leases.take(request.lease)
    if lease is None:
        return Admitted(request.call_id, admission, busy=True), None, ()
    spent = taken(used, admission)
    raised = {one.window_id: one.amount for one in spent}
    for hold in admission.holds:
        windows.by_id[hold.window_id].add(held=hold.amount, raised_by=raised.get(hold.window_id, 0))
    row = _row(request, admission)
    row.expires_at = request.expires_at
    row.holds = _holds(admission, request.expected, raised)
    row.leases = lease.rows
    return Admitted(request.call_id, admission, lease.credential_id, output_cap=cap), row, spent


def _said(
    demand: Demand, standing: Standing, allowances: Sequence[Allowance]
) -> tuple[Admission, Mapping[int, Used]]:
    """What the budgets say of `demand`, and what it would use of the allowances."""
    raised, used = with_allowances(standing, demand, allowances)
    return admit(demand, raised), used


def _worth_counting(
    request: AdmissionRequest, standing: Standing, allowances: Sequence[Allowance]
) -> bool:
    """Whether budgets pay for the least that the call might take."""
    least = request.tightest() if request.tightest is not None else None
    if least is None:
        return False
    admission, _ = _said(least, standing, allowances)
    return admission.blocking is None


def _cap_paid_for(
    shorter: Shorter, standing: Standing, allowances: Sequence[Allowance]
) -> int | None:
    """The largest output cap that every budget still pays for; None if that is below the floor."""

    def fits(cap: int) -> bool:
        return _said(shorter.demand(cap), standing, allowances)[0].blocking is None

    return largest(fits, shorter.floor, shorter.most)


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
    counting = wanted[rehold.call_id]
    standing = windows.standing(counting, {pk: hold["amount"] for pk, hold in own.items()})
    raised = {pk: hold["raised"] for pk, hold in own.items() if "raised" in hold}
    admission = admit(rehold.demand, going_on(standing, raised))
    if admission.blocking is not None:
        return Reheld(refusal=admission.blocking.explanation)
    taken = leases.move(call.leases, rehold.lease)
    if taken is None:
        return Reheld(refusal=BUSY)
    call.leases = taken.rows
    held = {hold.window_id: hold.amount for hold in admission.holds}
    # What was approved for the call is not taken along to another window, nor left for others.
    stays_raised = {pk: min(amount, held.get(pk, 0)) for pk, amount in raised.items()}
    for window_id in own.keys() | held.keys():
        before = own[window_id]["amount"] if window_id in own else 0
        given_back = raised.get(window_id, 0) - stays_raised.get(window_id, 0)
        if window_id in windows.by_id:
            windows.by_id[window_id].add(
                held=held.get(window_id, 0) - before, raised_by=-given_back
            )
    # It goes on being counted where nothing can be held of it, but not on its former place's.
    stays = {windows.ids[key] for _, key, _ in counting} - held.keys()
    kept = [
        {name: value for name, value in hold.items() if name != "raised"} | {"amount": 0}
        for window, hold in own.items()
        if window in stays
    ]
    call.holds = [*_holds(admission, rehold.expected, stays_raised), *kept]
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
    if settlement.owner is not None and settlement.owner != call.owner:
        return False
    was_held = call.status == CallStatus.IN_FLIGHT
    for hold in call.holds:
        charge = settlement.charge(hold["metric"])
        window = windows.by_id.get(hold["window"])
        if window is not None:  # its policy may have been deleted meanwhile
            raised = hold.get("raised")
            window.add(
                consumed=charge - hold.get("charged", 0),
                held=-hold["amount"] if was_held else 0,
                # The limit gave way by what the call might take, and does by what it took.
                raised_by=0 if raised is None else charge - raised,
            )
            if raised is not None:
                hold["raised"] = charge
        hold["charged"] = charge
    leases.release(call.leases)
    call.leases = []
    _fill(call, settlement)
    return True


def dismissing(dismissal: Dismissal, waiting: Mapping[UUID, ModelCall]) -> bool:
    """End a call that waits; False if it no longer does."""
    call = waiting.get(dismissal.call_id)
    if call is None or call.status != CallStatus.WAITING:
        return False
    call.status = dismissal.status
    call.settled_at = dismissal.settled_at
    call.error = dismissal.error[:LONGEST_ERROR]
    call.cost = 0
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


def _row(request: AdmissionRequest, admission: Admission, **decided: str) -> ModelCall:
    row = dict(request.row)
    decision = {**row.pop("decision", {}), "budget": admission.gravest, **decided}
    return ModelCall(
        id=request.call_id,
        team_id=request.subject.team_id,
        admitted_at=request.admitted_at,
        evaluations=[said.as_json() for said in admission.evaluations],
        decision=decision,
        **row,
    )


def _blocked_row(request: AdmissionRequest, admission: Admission) -> ModelCall:
    action = "approval_required" if admission.needs_approval else "blocked"
    row = _row(request, admission, action=action)
    waits = request.waits_for_approval and admission.needs_approval
    row.status = CallStatus.WAITING if waits else CallStatus.BLOCKED
    # Where it would have been answered from what was kept, nothing was.
    row.cached = False
    row.error = admission.blocking.explanation[:LONGEST_ERROR] if admission.blocking else ""
    row.settled_at = None if waits else request.admitted_at
    return row


def _holds(
    admission: Admission, expected: Mapping[str, int], raised: Mapping[int, int]
) -> list[dict[str, Any]]:
    return [
        {
            "window": hold.window_id,
            "metric": hold.metric,
            "amount": hold.amount,
            "expected": expected[hold.metric],
        }
        | ({"raised": raised[hold.window_id]} if hold.window_id in raised else {})
        for hold in admission.holds
    ]


def _without(counter: Counter, held: int) -> Counter:
    """The window as it would be without what the call itself holds on it."""
    return replace(counter, held=max(0, counter.held - held))


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
    if settlement.cost is not None and call.estimate_upper is not None:
        call.overrun = max(0, settlement.cost - call.estimate_upper)
    call.compared_cost = settlement.compared_cost
    call.attempts = list(settlement.attempts)
