"""Taking runs that are due for a worker process."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from providers.identifiers import new_id
from scheduling.dispatcher import AHEAD
from scheduling.models import CronRun, RunStatus, RunTrigger

CLAIMED = ("status", "owner", "started_at", "attempt", "call_id")


def claim(owner: UUID, *, foreground: int, background: int, now: datetime) -> list[CronRun]:
    """Take runs that are due for `owner`, at most so many of each kind: those that a person started
    are the foreground. What is longest due comes first.

    Each is given the name its call will have in the ledger, which lets no second one have it:
    should this process only seem dead, and the run be given to another, its own call is refused.

    A run that was dispatched ahead of its time starts when that has come.
    """
    by_person = Q(trigger=RunTrigger.MANUAL)
    with transaction.atomic():
        runs = [
            *_due(now).filter(by_person)[:foreground],
            *_due(now).exclude(by_person)[:background],
        ]
        for run in runs:
            run.status, run.owner = RunStatus.RUNNING, owner
            run.started_at = _start(run, now)
            run.attempt, run.call_id = run.attempt + 1, new_id()
        CronRun.objects.bulk_update(runs, CLAIMED)
    return runs


def _start(run: CronRun, now: datetime) -> datetime:
    """Now, or the time the run is due; which is near, however this machine's clock goes."""
    return min(max(now, run.due_at or now), now + AHEAD)


def left_lying(owner: UUID, known: Collection[UUID]) -> list[CronRun]:
    """The runs that are `owner`'s and of which it does not know."""
    runs = CronRun.objects.filter(owner=owner, finished_at=None, status=RunStatus.RUNNING)
    return list(runs.exclude(pk__in=known).select_related("job__team"))


def _due(now: datetime) -> QuerySet[CronRun]:
    # Whoever told the workers of a run knew that it was due; this machine's clock may be behind.
    told = Q(sent_at__isnull=False) | Q(due_at__lte=now)
    due = CronRun.objects.filter(told, status=RunStatus.QUEUED, lane__isnull=False)
    locked = due.select_for_update(skip_locked=True, of=("self",))
    return locked.select_related("job__team").order_by("due_at", "id")
