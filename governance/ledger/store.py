"""One batch of the ledger: everything pending, decided and written in one transaction.

Locks are taken in one order by everyone: the ledger's shared lock, the calls' rows by id, the
windows' rows by id, the leases' rows by id. So batches of several processes never wait for each
other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from governance.budgets import Admission, Counter, Policy, Subject, WindowKey
from governance.ledger import rows
from governance.ledger.batches import Attempt, Batch, Locked
from governance.ledger.changes import (
    SETTLEABLE,
    LockedWindow,
    LockedWindows,
    Wanted,
    admitting,
    reholding,
    settle,
    unmade_row,
)
from governance.ledger.exclusion import share_ledger
from governance.ledger.lease_counters import LeaseCounters, LeasesMissing
from governance.ledger.opening import open_windows
from governance.ledger.operations import (
    AdmissionRequest,
    Admitted,
    Operation,
    Reheld,
    Rehold,
    Result,
)
from governance.ledger.published import Published
from governance.ledger.rollups import Rollups
from governance.ledger.waiting import Waiting
from governance.models import BudgetInterval, BudgetWindow, CallStatus, ModelCall
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
    "overrun",
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
# Windows of runs, sessions and minutes pass by without end.
MOST_REMEMBERED = 50_000
NOTHING_SAID = Admission((), ())


class _WindowsMissing(Exception):
    """A batch needs windows that are not open; they are opened before it is tried again. Those
    that are `counted` on it cannot do without a row."""

    def __init__(self, missing: dict[WindowKey, Policy], counted: set[WindowKey]) -> None:
        super().__init__("windows missing")
        self.missing = missing
        self.counted = counted


class LedgerStore:
    """Executes batches; remembers policies and window ids between them. For one thread."""

    def __init__(self, owner: UUID) -> None:
        self._owner = owner
        self._version = -1
        self._policies: tuple[Policy, ...] = ()
        self._window_ids: dict[WindowKey, int] = {}
        # Buckets that had no call when their policy was made, and so need no row.
        self._empty: set[WindowKey] = set()
        self._leases = LeaseCounters()
        self._attempt: Attempt | None = None
        self.published = Published()

    def execute(self, operations: Sequence[Operation]) -> list[Result]:
        """Carry out `operations` in one commit: an `Admitted` for each admission, a `Reheld` for
        each rehold, and for each settlement whether it was the one that settled its call.

        Asked again with the same operations, after an error of the connection, it first looks
        whether they were committed and only the answer was lost.
        """
        landed = self._landed(operations)
        if landed is not None:
            return landed
        for _ in range(MOST_TRIES):
            try:
                return self._try(operations)
            except _WindowsMissing as error:
                opened = open_windows(error.missing, error.counted)
                self._window_ids |= opened
                self._empty |= error.missing.keys() - opened.keys()
            except LeasesMissing as error:
                self._leases.open(error.missing)
        raise RuntimeError("The budget windows of this batch keep disappearing.")

    def _landed(self, operations: Sequence[Operation]) -> list[Result] | None:
        """The results of a commit that was made although its answer was lost. Begun once more, its
        calls would find their own holds in their way."""
        attempt, self._attempt = self._attempt, None
        if attempt is None or attempt.operations is not operations or not attempt.new:
            return None
        owners = dict(
            ModelCall.objects.filter(pk__in=[row.pk for row in attempt.new])
            .exclude(status=CallStatus.WAITING)
            .values_list("pk", "owner")
        )
        if all(owners.get(row.pk, self) == row.owner for row in attempt.new):
            return attempt.results
        return None

    def _try(self, operations: Sequence[Operation]) -> list[Result]:
        batch = Batch.of(operations)
        with transaction.atomic(durable=not connection.in_atomic_block):
            share_ledger()
            self._read_policies()
            locked = self._lock(batch)
            usage = Rollups()
            usage.take_back(locked.calls.values())
            results = self._decide(batch, locked)
            locked.waits.write()
            rows.insert(locked.new)
            _write_calls(batch, locked.calls, results)
            _write_windows(locked.windows)
            locked.leases.write()
            usage.add([*locked.calls.values(), *locked.new, *locked.waits.dismissed])
            usage.write()
            answers = [results[id(operation)] for operation in operations]
            self._attempt = Attempt(operations, answers, locked.new)
        self.published.put(locked.windows.named(), locked.leases.by_key())
        self._attempt = None
        return answers

    def _lock(self, batch: Batch) -> Locked:
        """Lock whatever the batch touches, in the one order."""
        calls = _lock_calls(
            [*(one.call_id for one in batch.settlements), *(one.call_id for one in batch.reholds)]
        )
        now = timezone.now()
        wanted = {
            request.call_id: self._windows_of(request.subject, request.admitted_at, now)
            for request in batch.admissions
        } | {
            one.call_id: self._windows_of(_subject(call, one), call.admitted_at, now)
            for one in batch.reholds
            if (call := calls.get(one.call_id))
        }
        _open_own_runs(batch, wanted)
        windows = self._lock_windows(wanted.values(), calls.values(), now)
        leases = self._leases.lock(
            [*(one.lease for one in batch.reholds), *(one.lease for one in batch.admissions)],
            (pk for call in calls.values() for pk in call.leases),
            now,
        )
        waits = Waiting.lock([*batch.admissions, *batch.dismissals])
        return Locked(calls, wanted, windows, leases, waits)

    def _decide(self, batch: Batch, locked: Locked) -> dict[int, Result]:
        """The result of each operation, by its identity. What ends makes room for what goes on, and
        that for what begins."""
        results: dict[int, Result] = {}
        for settlement in batch.settlements:
            results[id(settlement)] = settle(
                settlement, locked.calls, locked.windows, locked.leases
            )
        for rehold in batch.reholds:
            results[id(rehold)] = reholding(
                rehold, locked.calls, locked.wanted, locked.windows, locked.leases
            )
        for request in batch.admissions:
            results[id(request)] = self._admit(request, locked)
        for unmade in batch.unmade:
            locked.new.append(unmade_row(unmade))
            results[id(unmade)] = True
        for dismissal in batch.dismissals:
            results[id(dismissal)] = locked.waits.dismiss(dismissal)
        return results

    def _admit(self, request: AdmissionRequest, locked: Locked) -> Admitted:
        waits = locked.waits
        if waits.lost(request):
            return Admitted(request.call_id, NOTHING_SAID, gone=True)
        admitted, row, used = admitting(
            request,
            locked.wanted[request.call_id],
            locked.windows,
            locked.leases,
            waits.allowances(request),
        )
        waits.use(used)
        if row is not None:
            waits.begun(request)
            row.owner = self._owner if row.status == CallStatus.IN_FLIGHT else None
            locked.new.append(row)
        return admitted

    def _read_policies(self) -> None:
        """Decide on the policies of this commit: a changed limit counts from the next batch on."""
        version = versioned.current_version()
        remembered = len(self._window_ids) + len(self._empty)
        if version != self._version or remembered > MOST_REMEMBERED:
            self._policies = load_policies()
            self._window_ids.clear()
            self._empty.clear()
            self._leases.forget()
            self._version = version

    def _windows_of(self, subject: Subject, at: datetime, now: datetime) -> Wanted:
        return [
            (policy, policy.window(subject, at), policy.windows(subject, at, now))
            for policy in self._policies
            if policy.counts(subject)
        ]

    def _lock_windows(
        self, wanted: Iterable[Wanted], calls: Iterable[ModelCall], now: datetime
    ) -> LockedWindows:
        counted, needed = _named(wanted)
        self._find_windows(needed)
        missing = {
            key: policy
            for key, policy in needed.items()
            if key not in self._window_ids
            and (key in counted or (key not in self._empty and policy.must_open(key)))
        }
        if missing:
            raise _WindowsMissing(missing, counted)
        found = {key: self._window_ids[key] for key in needed if key in self._window_ids}
        ids = {*found.values(), *(hold["window"] for call in calls for hold in call.holds)}
        locked = _lock(ids)
        gone = [key for key, pk in found.items() if pk not in locked]
        if gone:
            for key in gone:
                del self._window_ids[key]
            raise _WindowsMissing({key: needed[key] for key in gone}, counted)
        return LockedWindows(locked, found, now)

    def _find_windows(self, needed: dict[WindowKey, Policy]) -> None:
        unknown = {key: policy for key, policy in needed.items() if key not in self._window_ids}
        if not unknown:
            return
        known = BudgetWindow.objects.filter(
            policy_id__in={key.policy_id for key in unknown},
            scope_value__in={key.scope_value for key in unknown},
            starts_at__in={key.period.starts_at for key in unknown},
        ).values_list("pk", "policy_id", "scope_value", "starts_at")
        found = {(policy, value, starts): pk for pk, policy, value, starts in known}
        for key in unknown:
            pk = found.get((key.policy_id, key.scope_value, key.period.starts_at))
            if pk is not None:
                self._window_ids[key] = pk


def _open_own_runs(batch: Batch, wanted: Mapping[UUID, Wanted]) -> None:
    """Calls outside of scheduled runs are runs of their own: nothing can have been counted on their
    windows before, so these open at zero, and nobody has to stand still for it."""
    keys = [
        key
        for request in batch.admissions
        if request.subject.run_id is None
        for policy, key, _ in wanted[request.call_id]
        if policy.interval == BudgetInterval.RUN
    ]
    if keys:
        BudgetWindow.objects.bulk_create(
            [
                BudgetWindow(
                    policy_id=key.policy_id,
                    scope_value=key.scope_value,
                    starts_at=key.period.starts_at,
                    ends_at=key.period.ends_at,
                )
                for key in keys
            ],
            ignore_conflicts=True,
        )


def _named(wanted: Iterable[Wanted]) -> tuple[set[WindowKey], dict[WindowKey, Policy]]:
    """The windows that calls are counted on, and with their policies all that are asked."""
    counted: set[WindowKey] = set()
    needed: dict[WindowKey, Policy] = {}
    for windows in wanted:
        for policy, own, keys in windows:
            counted.add(own)
            needed.update(dict.fromkeys(keys, policy))
    return counted, needed


def _lock(ids: Iterable[int]) -> dict[int, LockedWindow]:
    counters = (
        BudgetWindow.objects.select_for_update()
        .filter(pk__in=sorted(ids))
        .order_by("pk")
        .values_list("pk", "consumed", "held", "raised_by")
    )
    return {
        pk: LockedWindow(Counter(window_id=pk, consumed=consumed, held=held, raised_by=raised_by))
        for pk, consumed, held, raised_by in counters
    }


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


def _lock_calls(ids: Iterable[UUID]) -> dict[UUID, ModelCall]:
    calls = (
        ModelCall.objects.select_for_update()
        .filter(pk__in=sorted(ids), status__in=SETTLEABLE)
        .order_by("pk")
        .defer("decision", "evaluations", "attempts")
    )
    return {call.pk: call for call in calls}


def _write_calls(batch: Batch, calls: dict[UUID, ModelCall], results: dict[int, Result]) -> None:
    """Write the calls that changed; one that a batch both moved and settled is written once."""
    settled = {one.call_id for one in batch.settlements if results[id(one)]}
    moved = {one.call_id for one in batch.reholds if not _refused(results[id(one)])} - settled
    rows.update([calls[call_id] for call_id in sorted(settled)], SETTLED_COLUMNS)
    rows.update([calls[call_id] for call_id in sorted(moved)], REHELD_COLUMNS)


def _refused(result: Result) -> bool:
    return isinstance(result, Reheld) and bool(result.refusal)


def _write_windows(windows: LockedWindows) -> None:
    changed = [window.counter for window in windows.by_id.values() if window.changed]
    written = [
        BudgetWindow(
            pk=counter.window_id,
            consumed=counter.consumed,
            held=counter.held,
            raised_by=counter.raised_by,
        )
        for counter in changed
    ]
    rows.update(written, ("consumed", "held", "raised_by"))
