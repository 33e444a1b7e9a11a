"""Cancelling runs. One that has not begun is ended at once; the worker of one that has is told, and
breaks its call off; one that waits for approval is withdrawn."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from governance import kept_calls
from scheduling import deliveries
from scheduling.models import CronRun, RunDelivery, RunStatus
from scheduling.wakeups import RUNS_CANCELLED, announce

BEGUN = (RunStatus.RUNNING, RunStatus.WAITING_FOR_APPROVAL)
MOST_AT_ONCE = 100


def ask(run_ids: Collection[UUID], *, reason: str, now: datetime) -> int:
    """Cancel those of the runs that have not ended; how many there were. Within the caller's
    transaction, in which their jobs are locked and the places that come free are given away."""
    if not run_ids:
        return 0
    runs = CronRun.objects.filter(pk__in=run_ids)
    ended = runs.filter(status=RunStatus.QUEUED).update(
        status=RunStatus.CANCELLED, reason=reason, finished_at=now, cancel_requested_at=now
    )
    told = runs.filter(status__in=BEGUN, cancel_requested_at=None).update(
        reason=reason, cancel_requested_at=now
    )
    if ended:
        _tell_of_those_tried(run_ids, now)
    if told:
        announce(RUNS_CANCELLED)
    return ended + told


def _tell_of_those_tried(run_ids: Collection[UUID], now: datetime) -> None:
    """Make the messages of runs that have ended now while they waited for another attempt; what
    was never begun is told to nobody."""
    tried = CronRun.objects.filter(
        pk__in=run_ids,
        status=RunStatus.CANCELLED,
        cancel_requested_at=now,
        attempt__gt=0,
        job__in=RunDelivery.objects.values("job"),
    )
    for run in tried.select_related("job__team"):
        # There is no output that could be another one.
        deliveries.tell(run, previous_output=None, now=now)


def asked_of(owner: UUID) -> set[UUID]:
    """The runs in `owner`'s hands that are to be broken off."""
    runs = CronRun.objects.filter(
        owner=owner,
        finished_at=None,
        status=RunStatus.RUNNING,
        cancel_requested_at__isnull=False,
    )
    return set(runs.values_list("pk", flat=True))


def withdraw(now: datetime) -> int:
    """End the kept calls of cancelled runs that wait for approval; their runs end as the calls
    did. How many there were."""
    waiting = CronRun.objects.filter(
        finished_at=None,
        status=RunStatus.WAITING_FOR_APPROVAL,
        cancel_requested_at__isnull=False,
    )
    found = list(waiting.values_list("call_id", "reason")[:MOST_AT_ONCE])
    for call_id, reason in found:
        if call_id is not None:
            kept_calls.withdraw(call_id, reason, now)
    return len(found)
