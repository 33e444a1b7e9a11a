"""One batch of the ledger: everything pending, decided and written in one transaction.

Locks are taken in one order by everyone: the ledger's shared lock, the calls' rows by id, the
windows' rows by id, the leases' rows by id. So batches of several processes never wait for each
other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from governance.budgets import Counter, Policy, Subject, WindowKey
from governance.ledger import rows
from governance.ledger.changes import (
    SETTLEABLE,
    LockedWindow,
    LockedWindows,
    admitting,
    reholding,
    settle,
    unmade_row,
)
from governance.ledger.exclusion import share_ledger
from governance.ledger.lease_counters import LeaseCounters, LeasesMissing
from governance.ledger.opening import open_window
from governance.ledger.operations import (
    AdmissionRequest,
    Operation,
    Reheld,
    Rehold,
    Result,
    Settlement,
    Unmade,
)
from governance.ledger.rollups import Rollups
from governance.models import BudgetWindow, CallStatus, ModelCall
from governance.snapshot import load_policies
from providers import versioned

SETTLED_COLUMNS = (
    "status",
    "failure_class",
    "error",
    "settled_at",
    "expires_at",
    "latency_ms",
    "first_token_ms",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "usage_reported",
    "cost",
    "compared_cost",
    "holds",
    "leases",
    "attempts",
)
REHELD_COLUMNS = (
    "provider",
    "model",
    "price",
    "estimate_lower",
    "estimate_expected",
    "estimate_upper",
    "token_bound",
    "output_bound",
    "expected_input_tokens",
    "expected_output_tokens",
    "expires_at",
    "holds",
    "leases",
)
MOST_TRIES = 5


class _WindowsMissing(Exception):
    """A batch needs windows that are not open; they are opened before it is tried again."""

    def __init__(self, missing: dict[WindowKey, Policy]) -> None:
        super().__init__("windows missing")
        self.missing = missing


class LedgerStore:
    """Executes batches; remembers policies and window ids between them. For one thread."""

    def __init__(self, owner: UUID) -> None:
        self._owner = owner
        self._version = -1
        self._policies: tuple[Policy, ...] = ()
        self._window_ids: dict[WindowKey, int] = {}
        self._leases = LeaseCounters()

    def execute(self, operations: Sequence[Operation]) -> list[Result]:
        """Carry out `operations` in one commit: an `Admitted` for each admission, a `Reheld` for
        each rehold, and for each settlement whether it was the one that settled its call."""
        for _ in range(MOST_TRIES):
            try:
                return self._try(operations)
            except _WindowsMissing as error:
                # Sorted, so that two processes open the same windows in the same order.
                for key in sorted(error.missing, key=_sort_key):
                    window = open_window(error.missing[key], key)
                    self._window_ids[key] = window.pk
            except LeasesMissing as error:
                self._leases.open(error.missing)
        raise RuntimeError("The budget windows of this batch keep disappearing.")

    def _try(self, operations: Sequence[Operation]) -> list[Result]:
        settlements = [one for one in operations if isinstance(one, Settlement)]
        reholds = [one for one in operations if isinstance(one, Rehold)]
        admissions = [one for one in operations if isinstance(one, AdmissionRequest)]
        unmade = [one for one in operations if isinstance(one, Unmade)]
        with transaction.atomic(durable=not connection.in_atomic_block):
            share_ledger()
            self._read_policies()
            calls = _lock_calls(
                [*(one.call_id for one in settlements), *(one.call_id for one in reholds)]
            )
            usage = Rollups()
            usage.take_back(calls.values())
            wanted = {
                request.call_id: self._windows_of(request.subject, request.admitted_at)
                for request in admissions
            } | {
                one.call_id: self._windows_of(_subject(call, one), call.admitted_at)
                for one in reholds
                if (call := calls.get(one.call_id))
            }
            windows = self._lock_windows(wanted.values(), calls.values())
            leases = self._leases.lock(
                [*(one.lease for one in reholds), *(one.lease for one in admissions)],
                (pk for call in calls.values() for pk in call.leases),
            )
            results: dict[int, Result] = {}
            # What ends makes room for what goes on, and that for what begins.
            for settlement in settlements:
                results[id(settlement)] = settle(settlement, calls, windows, leases)
            for rehold in reholds:
                results[id(rehold)] = reholding(rehold, calls, wanted, windows, leases)
            new = []
            for request in admissions:
                admitted, row = admitting(request, wanted[request.call_id], windows, leases)
                results[id(request)] = admitted
                if row is not None:
                    row.owner = self._owner if row.status == CallStatus.IN_FLIGHT else None
                    new.append(row)
            results |= {id(one): True for one in unmade}
            new += [unmade_row(one) for one in unmade]
            rows.insert(new)
            _write_calls(settlements, reholds, calls, results)
            _write_windows(windows)
            leases.write()
            usage.add([*calls.values(), *new])
            usage.write()
        return [results[id(operation)] for operation in operations]

    def _read_policies(self) -> None:
        """Decide on the policies of this commit: a changed limit counts from the next batch on."""
        version = versioned.current_version()
        if version != self._version:
            self._policies = load_policies()
            self._window_ids.clear()
            self._leases.forget()
            self._version = version

    def _windows_of(
        self, subject: Subject, admitted_at: datetime
    ) -> list[tuple[Policy, WindowKey]]:
        return [
            (policy, policy.window(subject, admitted_at))
            for policy in self._policies
            if policy.counts(subject)
        ]

    def _lock_windows(
        self,
        wanted: Iterable[list[tuple[Policy, WindowKey]]],
        calls: Iterable[ModelCall],
    ) -> LockedWindows:
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
            pk: LockedWindow(
                Counter(window_id=pk, consumed=consumed, held=held, raised_by=raised_by)
            )
            for pk, consumed, held, raised_by in counters
        }
        gone = [key for key in needed if self._window_ids[key] not in locked]
        if gone:
            for key in gone:
                del self._window_ids[key]
            raise _WindowsMissing({key: needed[key] for key in gone})
        return LockedWindows(locked, self._window_ids)

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


def _subject(call: ModelCall, rehold: Rehold) -> Subject:
    """Whose call it is, where it goes next."""
    return Subject(
        team_id=call.team_id,
        call_id=call.pk,
        provider=rehold.row["provider"],
        model=rehold.row["model"],
        api_key_id=call.api_key_id,
        user_id=call.user_id,
        session=call.session,
        job_id=call.job_id,
        run_id=call.run_id,
    )


def _sort_key(key: WindowKey) -> tuple[int, str, Any]:
    return key.policy_id, key.scope_value, key.period.starts_at


def _lock_calls(ids: Iterable[UUID]) -> dict[UUID, ModelCall]:
    calls = (
        ModelCall.objects.select_for_update()
        .filter(pk__in=sorted(ids), status__in=SETTLEABLE)
        .order_by("pk")
        .defer("decision", "evaluations", "attempts")
    )
    return {call.pk: call for call in calls}


def _write_calls(
    settlements: Sequence[Settlement],
    reholds: Sequence[Rehold],
    calls: dict[UUID, ModelCall],
    results: dict[int, Result],
) -> None:
    """Write the calls that changed; one that a batch both moved and settled is written once."""
    settled = {one.call_id for one in settlements if results[id(one)]}
    moved = {one.call_id for one in reholds if not _refused(results[id(one)])} - settled
    rows.update([calls[call_id] for call_id in sorted(settled)], SETTLED_COLUMNS)
    rows.update([calls[call_id] for call_id in sorted(moved)], REHELD_COLUMNS)


def _refused(result: Result) -> bool:
    return isinstance(result, Reheld) and bool(result.refusal)


def _write_windows(windows: LockedWindows) -> None:
    changed = [window.counter for window in windows.by_id.values() if window.changed]
    written = [
        BudgetWindow(pk=counter.window_id, consumed=counter.consumed, held=counter.held)
        for counter in changed
    ]
    rows.update(written, ("consumed", "held"))
