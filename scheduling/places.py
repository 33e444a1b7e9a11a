"""The places of jobs as their open runs take them, read and given away. For use while the jobs are
locked: then nobody else changes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import REPLACE, Occupant, Places, promoted

STATES = {
    RunStatus.QUEUED: "still waiting to begin",
    RunStatus.RUNNING: "still under way",
    RunStatus.WAITING_FOR_APPROVAL: "still waiting for approval",
}


def read(jobs: Iterable[CronJob]) -> dict[UUID, Places]:
    """The places of each job, in one query. Of those that wait, the first, who may have a place
    soon, and that of a scheduled time; of a job whose newer run replaces the others, all."""
    by_id = {job.pk: job for job in jobs}
    return _read(by_id, whole={pk for pk, job in by_id.items() if job.overlap == REPLACE})


def _read(by_id: Mapping[UUID, CronJob], *, whole: Collection[UUID] = ()) -> dict[UUID, Places]:
    """The places of each job, and the `whole` line of those."""
    empty = {
        pk: Places(overlap=job.overlap, max_parallel=job.max_parallel) for pk, job in by_id.items()
    }
    lanes: dict[UUID, dict[int, Occupant]] = defaultdict(dict)
    waiting: dict[UUID, list[Occupant]] = defaultdict(list)
    most = max((places.capacity for places in empty.values()), default=0)
    for run in _open_runs(by_id, most, whole):
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
        pk: replace(places, lanes=lanes[pk], waiting=tuple(waiting[pk]))
        for pk, places in empty.items()
    }


def _open_runs(jobs: Collection[UUID], most: int, whole: Collection[UUID]) -> QuerySet[CronRun]:
    """The jobs' runs that have not ended, in the order in which they have places; of each line that
    is not read whole, the first `most`: it may be as long as an outage was."""
    # Named as the index that finds what is open, of a job with many runs too.
    open_runs = CronRun.objects.filter(job__in=jobs, finished_at=None, status__in=ACTIVE)
    place_in_line = Window(
        RowNumber(), partition_by=[F("job"), F("lane")], order_by=[F("slot"), F("id")]
    )
    numbered = open_runs.alias(place_in_line=place_in_line)
    # No more than one of a scheduled time waits.
    others = Q(lane__isnull=False) | Q(trigger=RunTrigger.SCHEDULE) | Q(job__in=whole)
    columns = ("id", "job_id", "slot", "status", "lane", "trigger")
    return (
        numbered.filter(Q(place_in_line__lte=most) | others).only(*columns).order_by("slot", "id")
    )


def promote(jobs: Iterable[CronJob], now: datetime) -> int:
    """Give the places that are free to the runs that wait for one; how many there were."""
    return _give(_read({job.pk: job for job in jobs}), now)


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
