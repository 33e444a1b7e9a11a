"""The places of jobs as their open runs take them, read and given away. For use while the jobs are
locked: then nobody else changes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import Occupant, Places, promoted

STATES = {
    RunStatus.QUEUED: "still waiting to begin",
    RunStatus.RUNNING: "still under way",
    RunStatus.WAITING_FOR_APPROVAL: "still waiting for approval",
}


def read(jobs: Iterable[CronJob]) -> dict[UUID, Places]:
    """The places of each job, in one query."""
    by_id = {job.pk: job for job in jobs}
    lanes: dict[UUID, dict[int, Occupant]] = defaultdict(dict)
    waiting: dict[UUID, list[Occupant]] = defaultdict(list)
    # Named as the index that finds what is open, of a job with many runs too.
    open_runs = CronRun.objects.filter(job__in=by_id, finished_at=None, status__in=ACTIVE)
    columns = ("id", "job_id", "slot", "status", "lane", "trigger")
    for run in open_runs.only(*columns).order_by("slot", "id"):
        occupant = Occupant(
            id=run.pk,
            slot=run.slot,
            state=STATES[RunStatus(run.status)],
            scheduled=run.trigger == RunTrigger.SCHEDULE,
        )
        if run.lane is None:
            waiting[run.job_id].append(occupant)
        else:
            lanes[run.job_id][run.lane] = occupant
    return {
        pk: Places(
            overlap=job.overlap,
            max_parallel=job.max_parallel,
            lanes=lanes[pk],
            waiting=tuple(waiting[pk]),
        )
        for pk, job in by_id.items()
    }


def promote(jobs: Iterable[CronJob], now: datetime) -> int:
    """Give the places that are free to the runs that wait for one; how many there were."""
    return _give(read(jobs), now)


def _give(places: Mapping[UUID, Places], now: datetime) -> int:
    given = 0
    for one in places.values():
        for run_id, lane in promoted(one):
            waiting = CronRun.objects.filter(pk=run_id, status=RunStatus.QUEUED, lane=None)
            given += waiting.update(lane=lane, sent_at=now, due_at=now)
    return given


def jobs_with_waiting_runs(limit: int) -> list[UUID]:
    """The jobs of which a run waits for a place."""
    waiting = CronRun.objects.filter(finished_at=None, lane=None, status=RunStatus.QUEUED)
    return list(waiting.order_by().values_list("job_id", flat=True).distinct()[:limit])
