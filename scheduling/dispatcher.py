"""Turns due jobs into queued runs. Any number of processes may do this at once.

What keeps a scheduled time from being run twice is the database: the job's row is taken by a
conditional update, and a run is unique by job and time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from scheduling import messages
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.planning import ActiveRun, Plan, plan

logger = logging.getLogger(__name__)
# Few enough that the transaction is short, enough that a thousand at once are soon done.
MOST_JOBS_A_TURN = 100
RETRY_AFTER = timedelta(seconds=30)
NO_FAULT: dict[str, Any] = {"retry_at": None, "last_error": ""}


def database_now() -> datetime:
    """The time everybody agrees on: the server's on PostgreSQL, this machine's on SQLite."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def next_due() -> datetime | None:
    """When the next job is due; None if none is."""
    waiting = CronJob.objects.filter(enabled=True, next_slot__isnull=False, retry_at=None)
    return waiting.order_by("next_slot").values_list("next_slot", flat=True).first()


def dispatch(now: datetime) -> int:
    """Deal with the jobs that are due, at most `MOST_JOBS_A_TURN`; how many were to be had.

    What to do is planned before the transaction, which on SQLite makes every writer wait; if a job
    changes in between, its plan fits it no more and it is left to the next turn.
    """
    jobs = list(_due(now).order_by("next_slot", "id")[:MOST_JOBS_A_TURN])
    if not jobs:
        return 0
    planned = {job.id: _plan_or_fault(job, now) for job in jobs}
    with transaction.atomic():
        taken = CronJob.objects.filter(id__in=planned).select_related("team").order_by("id")
        taken = taken.select_for_update(skip_locked=True, of=("self",))
        dispatches = [_Dispatch(job, now, planned[job.id]) for job in taken]
        active = _active_runs(planned)
        fired = [dispatch.carry_out(active.get(dispatch.job.id)) for dispatch in dispatches]
        messages.send([run for run in fired if run and run.status == RunStatus.QUEUED])
    return len(dispatches)


def _due(now: datetime) -> QuerySet[CronJob]:
    ready = Q(retry_at=None) | Q(retry_at__lte=now)
    return CronJob.objects.filter(ready, enabled=True, next_slot__lte=now)


def _plan_or_fault(job: CronJob, now: datetime) -> _Planned:
    assert job.next_slot is not None
    try:
        decided: Plan | Exception = plan(job.schedule, due=job.next_slot, now=now)
    except Exception as error:
        # Whatever is wrong with one job must not keep the others from running.
        decided = error
    return _Planned(job.revision, job.next_slot, decided)


def _active_runs(jobs: Iterable[UUID]) -> dict[UUID, ActiveRun]:
    runs = CronRun.objects.filter(job__in=jobs, status__in=ACTIVE)
    return {
        run.job_id: ActiveRun(slot=run.slot, started=run.status == RunStatus.RUNNING)
        for run in runs.only("job_id", "slot", "status")
    }


@dataclass(frozen=True, slots=True)
class _Planned:
    """What was decided of a job, or why nothing could be, and of which state of it."""

    revision: int
    due: datetime
    decided: Plan | Exception


@dataclass(frozen=True, slots=True)
class _Dispatch:
    """One job's turn, within the transaction that all of them share."""

    job: CronJob
    now: datetime
    planned: _Planned

    def carry_out(self, active: ActiveRun | None) -> CronRun | None:
        """Insert the run; a job of which that fails is as before, and left alone for a while."""
        decided = self.planned.decided
        try:
            if isinstance(decided, Exception):
                raise decided
            decided = decided.facing(team_enabled=self.job.team.enabled, active=active)
            with transaction.atomic():
                return self._insert_run(decided) if self._move_on(decided) else None
        except Exception as error:
            if not (isinstance(decided, Plan) and self._pass_over_what_has_run(decided)):
                self._record_fault(error)
            return None

    def _move_on(self, decided: Plan) -> bool:
        """Take the job, if it is still what was planned for."""
        return self._unchanged().update(next_slot=decided.next_slot, **NO_FAULT) == 1

    def _unchanged(self) -> QuerySet[CronJob]:
        return CronJob.objects.filter(
            pk=self.job.pk, revision=self.planned.revision, next_slot=self.planned.due
        )

    def _insert_run(self, decided: Plan) -> CronRun:
        skipped = bool(decided.obstacle)
        return CronRun.objects.create(
            job=self.job,
            slot=decided.slot,
            trigger=RunTrigger.SCHEDULE,
            lane=None if skipped else 0,
            status=RunStatus.SKIPPED if skipped else RunStatus.QUEUED,
            reason=decided.reason,
            missed_before=decided.missed_before,
            queued_at=self.now,
            finished_at=self.now if skipped else None,
        )

    def _pass_over_what_has_run(self, decided: Plan) -> bool:
        """Move on from a time that has had its run: the clock, or the job's time, was set back."""
        ran = self.job.runs.filter(slot=decided.slot, trigger=RunTrigger.SCHEDULE)
        return ran.exists() and self._move_on(decided)

    def _record_fault(self, error: Exception) -> None:
        logger.warning("The scheduled prompt %s could not be started: %s", self.job.id, error)
        words = "the database refused its run." if isinstance(error, Error) else str(error)
        self._unchanged().update(
            last_error=f"It could not be started: {words}"[:500], retry_at=self.now + RETRY_AFTER
        )
