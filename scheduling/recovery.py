"""Finds runs that nobody is looking after, and says what has become of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from governance import calls, processes
from governance.models import CallStatus, ModelCall, ProcessHeartbeat
from scheduling import calling, cancelling, kept_runs, messages, places
from scheduling.endings import Ended, finish
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.outcomes import Attempt

logger = logging.getLogger(__name__)
DELIVERY_PATIENCE = timedelta(seconds=30)
POSSIBLY_ANSWERED = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED, CallStatus.SUCCEEDED)
# Beyond what a job may allow a call (an hour), with room for writing its end.
LONGEST_RUN = timedelta(hours=1, minutes=10)
MOST_AT_ONCE = 500
NOT_BEGUN = "The worker ended before it made this call; nothing was sent."
BROKEN_OFF = (
    "The worker ended during the call. Whether the provider answered is not known; the ledger "
    "shows what is charged for it."
)


def recover(now: datetime, *, silence_counts: bool) -> None:
    """Mend what crashes left behind. Harmless where repeated.

    `silence_counts` says that a process which was not heard of is dead; it must not count after an
    outage, when everybody was silent and is alive.
    """
    end_broken_off(now, silence_counts=silence_counts)
    cancelling.withdraw(now)
    kept_runs.conclude(now)
    promote_waiting(now)
    tell_again(now)
    find_undue()


def tell_again(now: datetime) -> int:
    """Tell the workers again of runs that nobody has taken for long; how many there are."""
    stale = CronRun.objects.filter(
        status=RunStatus.QUEUED, lane__isnull=False, sent_at__lt=now - DELIVERY_PATIENCE
    )
    ids = list(stale.order_by("due_at").values_list("pk", flat=True)[:MOST_AT_ONCE])
    if not ids:
        return 0
    with transaction.atomic():
        # In one order, and past those that somebody is at.
        untaken = CronRun.objects.filter(pk__in=ids, status=RunStatus.QUEUED).order_by("pk")
        free = list(untaken.select_for_update(skip_locked=True).values_list("pk", flat=True))
        told = CronRun.objects.filter(pk__in=free).update(sent_at=now)
        messages.tell(told)
    return told


def find_undue() -> int:
    """Have jobs dispatched that a process of the version before made or moved on: it knows no time
    at which they are due. How many there were."""
    undue = CronJob.objects.filter(enabled=True, due_at=None, next_slot__isnull=False)
    return undue.update(due_at=F("next_slot"))


def promote_waiting(now: datetime) -> int:
    """Give free places to runs that were left waiting for one; how many there were."""
    ids = places.jobs_with_waiting_runs(MOST_AT_ONCE)
    if not ids:
        return 0
    with transaction.atomic():
        rows = CronJob.objects.filter(pk__in=ids).order_by("id")
        promoted = places.promote(rows.select_for_update(skip_locked=True), now)
        messages.tell(promoted)
    return promoted


def end_broken_off(now: datetime, *, silence_counts: bool) -> int:
    """Close the runs whose process ended; how many there were.

    One whose call was never begun is put off for a moment. Any other may have reached the provider,
    so it is neither failed nor, unless its job wants that, tried again.
    """
    broken_off = _broken_off(now, silence_counts=silence_counts)
    if not broken_off:
        return 0
    closed = finish([Ended(run, attempt) for run, attempt in _fates(broken_off, now)], now)
    if closed:
        logger.warning("%d runs were broken off.", closed)
    return closed


def _broken_off(now: datetime, *, silence_counts: bool) -> list[CronRun]:
    heard_of = processes.alive(now) if silence_counts else ProcessHeartbeat.objects.all()
    alive = [process.pk for process in heard_of]
    gone = ~Q(owner__in=alive) | Q(owner=None) | Q(started_at__lt=now - LONGEST_RUN)
    begun = CronRun.objects.filter(gone, finished_at=None, status=RunStatus.RUNNING)
    return list(begun.select_related("job__team").order_by("started_at")[:MOST_AT_ONCE])


def _fates(runs: Sequence[CronRun], now: datetime) -> Iterable[tuple[CronRun, Attempt]]:
    entered = _calls_of(runs)
    for run in runs:
        call = entered.get(run.pk)
        if call is None and run.call_id and _forestall(run.call_id, run, now):
            yield run, Attempt(status=RunStatus.FAILED, reason=NOT_BEGUN, deferred=True)
        else:
            yield run, _fate(call)


def _fate(call: ModelCall | None) -> Attempt:
    """How a run ended whose worker did not say so, by what the ledger has of its call."""
    if call is None or call.status in POSSIBLY_ANSWERED:
        columns = calling.charged(call.pk) if call else {}
        return Attempt(status=RunStatus.UNCONFIRMED, reason=BROKEN_OFF, columns=columns)
    if call.status == CallStatus.WAITING:
        return Attempt(status=RunStatus.WAITING_FOR_APPROVAL)
    if call.error == NOT_BEGUN:
        # Forestalled a moment ago, by whoever could not write the end of its run after that.
        return Attempt(status=RunStatus.FAILED, reason=NOT_BEGUN, deferred=True)
    return kept_runs.as_entered(call)


def _calls_of(runs: Sequence[CronRun]) -> dict[UUID, ModelCall]:
    """The call of each run's present attempt, where one is in the ledger."""
    named = ModelCall.objects.in_bulk([run.call_id for run in runs if run.call_id])
    return {run.pk: named[run.call_id] for run in runs if run.call_id in named}


def _forestall(call_id: UUID, run: CronRun, now: datetime) -> bool:
    return calls.forestall(
        call_id,
        caller=calling.caller_of(run),
        task_class=run.job.task_class,
        requested_model=run.job.model,
        now=now,
        why=NOT_BEGUN,
    )
