"""One batch of the ledger: everything pending, decided and written in one transaction.

Locks are taken in one order by everyone: the ledger's shared lock, the calls' rows by id, the
windows' rows by id. So batches of several processes never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from governance.budgets import Admission, Counter, Policy, WindowKey, admit
from governance.ledger import rows
from governance.ledger.exclusion import share_ledger
from governance.ledger.opening import open_window
from governance.ledger.operations import AdmissionRequest, Admitted, Operation, Settlement
from governance.models import BudgetWindow, CallStatus, ModelCall
from governance.snapshot import load_policies
from providers import versioned

# A late settlement corrects what a sweep assumed: the owner was alive after all.
SETTLEABLE = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED)
SETTLED_COLUMNS = (
    "status",
    "failure_class",
    "error",
    "settled_at",
    "expires_at",
    "latency_ms",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "usage_reported",
    "cost",
    "holds",
    "attempts",
)
MOST_TRIES = 5


class _WindowsMissing(Exception):
    """A batch needs windows that are not open; they are opened before it is tried again."""

    def __init__(self, missing: dict[WindowKey, Policy]) -> None:
        super().__init__("windows missing")
        self.missing = missing


@dataclass(slots=True)
class _Window:
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


class LedgerStore:
    """Executes batches; remembers policies and window ids between them. For one thread."""

    def __init__(self, owner: UUID) -> None:
        self._owner = owner
        self._version = -1
        self._policies: tuple[Policy, ...] = ()
        self._window_ids: dict[WindowKey, int] = {}

    def execute(self, operations: Sequence[Operation]) -> list[Admitted | bool]:
        """Carry out `operations` in one commit: an `Admitted` for each admission, and for each
        settlement whether it was the one that settled its call."""
        for _ in range(MOST_TRIES):
            try:
                return self._try(operations)
            except _WindowsMissing as error:
                # Sorted, so that two processes open the same windows in the same order.
                for key in sorted(error.missing, key=_sort_key):
                    window = open_window(error.missing[key], key)
                    self._window_ids[key] = window.pk
        raise RuntimeError("The budget windows of this batch keep disappearing.")

    def _try(self, operations: Sequence[Operation]) -> list[Admitted | bool]:
        admissions = [one for one in operations if isinstance(one, AdmissionRequest)]
        settlements = [one for one in operations if isinstance(one, Settlement)]
        with transaction.atomic(durable=not connection.in_atomic_block):
            share_ledger()
            self._read_policies()
            wanted = {request.call_id: self._windows_of(request) for request in admissions}
            calls = _lock_calls(settlement.call_id for settlement in settlements)
            windows = self._lock_windows(wanted.values(), calls.values())
            settled = [_settle(one, calls, windows) for one in settlements]
            admitted = [
                Admitted(one.call_id, _admit(one, wanted[one.call_id], windows))
                for one in admissions
            ]
            rows.insert(
                [
                    _row(request, answer.admission, self._owner)
                    for request, answer in zip(admissions, admitted, strict=True)
                ]
            )
            done = {one.call_id for one, first in zip(settlements, settled, strict=True) if first}
            rows.update([calls[call_id] for call_id in sorted(done)], SETTLED_COLUMNS)
            _write_windows(windows)
        answers: dict[type, Iterator[Admitted | bool]] = {
            AdmissionRequest: iter(admitted),
            Settlement: iter(settled),
        }
        return [next(answers[type(operation)]) for operation in operations]

    def _read_policies(self) -> None:
        """Decide on the policies of this commit: a changed limit counts from the next batch on."""
        version = versioned.current_version()
        if version != self._version:
            self._policies = load_policies()
            self._window_ids.clear()
            self._version = version

    def _windows_of(self, request: AdmissionRequest) -> list[tuple[Policy, WindowKey]]:
        return [
            (policy, policy.window(request.team_id, request.admitted_at))
            for policy in self._policies
            if policy.applies_to(request.team_id)
        ]

    def _lock_windows(
        self,
        wanted: Iterable[list[tuple[Policy, WindowKey]]],
        calls: Iterable[ModelCall],
    ) -> _LockedWindows:
        needed = {key: policy for windows in wanted for policy, key in windows}
        self._find_windows(needed)
        ids = {self._window_ids[key] for key in needed}
        ids.update(hold["window"] for call in calls for hold in call.holds)
        counters = (
            BudgetWindow.objects.select_for_update()
            .filter(pk__in=sorted(ids))
            .order_by("pk")
            .values_list("pk", "consumed", "held", "raised_by")
        )
        locked = {
            pk: _Window(Counter(window_id=pk, consumed=consumed, held=held, raised_by=raised_by))
            for pk, consumed, held, raised_by in counters
        }
        gone = [key for key in needed if self._window_ids[key] not in locked]
        if gone:
            for key in gone:
                del self._window_ids[key]
            raise _WindowsMissing({key: needed[key] for key in gone})
        return _LockedWindows(locked, self._window_ids)

    def _find_windows(self, needed: dict[WindowKey, Policy]) -> None:
        unknown = {key: policy for key, policy in needed.items() if key not in self._window_ids}
        if not unknown:
            return
        known = BudgetWindow.objects.filter(
            policy_id__in={key.policy_id for key in unknown},
            starts_at__in={key.period.starts_at for key in unknown},
        ).values_list("pk", "policy_id", "scope_value", "starts_at")
        found = {(policy, value, starts): pk for pk, policy, value, starts in known}
        for key in tuple(unknown):
            pk = found.get((key.policy_id, key.scope_value, key.period.starts_at))
            if pk is not None:
                self._window_ids[key] = pk
                del unknown[key]
        if unknown:
            raise _WindowsMissing(unknown)


@dataclass(frozen=True, slots=True)
class _LockedWindows:
    by_id: dict[int, _Window]
    ids: dict[WindowKey, int]

    def of(self, key: WindowKey) -> _Window:
        return self.by_id[self.ids[key]]


def _sort_key(key: WindowKey) -> tuple[int, str, Any]:
    return key.policy_id, key.scope_value, key.period.starts_at


def _lock_calls(ids: Iterable[UUID]) -> dict[UUID, ModelCall]:
    calls = (
        ModelCall.objects.select_for_update()
        .filter(pk__in=sorted(ids), status__in=SETTLEABLE)
        .order_by("pk")
        .only("status", "holds")
    )
    return {call.pk: call for call in calls}


def _admit(
    request: AdmissionRequest, wanted: list[tuple[Policy, WindowKey]], windows: _LockedWindows
) -> Admission:
    admission = admit(
        request.demand, [(policy, key, windows.of(key).counter) for policy, key in wanted]
    )
    for hold in admission.holds:
        windows.by_id[hold.window_id].add(held=hold.amount)
    return admission


def _row(request: AdmissionRequest, admission: Admission, owner: UUID) -> ModelCall:
    blocking = admission.blocking
    row = ModelCall(
        id=request.call_id,
        team_id=request.team_id,
        admitted_at=request.admitted_at,
        evaluations=[said.as_json() for said in admission.evaluations],
        **request.row,
    )
    if blocking is not None:
        row.status = CallStatus.BLOCKED
        row.error = blocking.explanation[:500]
        row.settled_at = request.admitted_at
        return row
    row.owner = owner
    row.expires_at = request.expires_at
    row.holds = [
        {
            "window": hold.window_id,
            "metric": hold.metric,
            "amount": hold.amount,
            "expected": request.expected[hold.metric],
        }
        for hold in admission.holds
    ]
    return row


def _settle(settlement: Settlement, calls: dict[UUID, ModelCall], windows: _LockedWindows) -> bool:
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
    _fill(call, settlement)
    return True


def _fill(call: ModelCall, settlement: Settlement) -> None:
    usage = settlement.usage
    call.status = settlement.status
    call.failure_class = settlement.failure_class
    call.error = settlement.error[:500]
    call.settled_at = settlement.settled_at
    call.expires_at = None
    call.latency_ms = settlement.latency_ms
    call.uncached_input_tokens = usage.uncached_input
    call.cache_read_tokens = usage.cache_read
    call.cache_write_5m_tokens = usage.cache_write_5m
    call.cache_write_1h_tokens = usage.cache_write_1h
    call.output_tokens = usage.output
    call.usage_reported = usage.reported
    call.cost = settlement.cost
    call.attempts = list(settlement.attempts)


def _write_windows(windows: _LockedWindows) -> None:
    changed = [window.counter for window in windows.by_id.values() if window.changed]
    written = [
        BudgetWindow(pk=counter.window_id, consumed=counter.consumed, held=counter.held)
        for counter in changed
    ]
    rows.update(written, ("consumed", "held"))
