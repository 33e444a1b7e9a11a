"""How scheduling stands: who is alive, what is due and queued, what went wrong lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Min

from governance import processes
from governance.models import ProcessHeartbeat
from scheduling.models import CronJob, CronRun, RunStatus

SCHEDULER, WORKER = "scheduler", "worker"
LATELY = timedelta(days=1)
MOST_SHOWN = 10
BEGUN = (RunStatus.RUNNING, RunStatus.WAITING_FOR_APPROVAL)
WENT_WRONG = (
    RunStatus.FAILED,
    RunStatus.UNCONFIRMED,
    RunStatus.BLOCKED_BY_BUDGET,
    RunStatus.DENIED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How scheduling stands at one moment. `runs` counts those that are open, by status;
    `queued_since` is when the oldest that has not begun was queued;
    `set_aside` are jobs that could not be dispatched, `to_review` those with missed times to decide
    on and how many there are, `failures` the latest of the last day's runs that went wrong."""

    processes: list[ProcessHeartbeat]
    enabled: int
    paused: int
    due: int
    next_due: datetime | None
    runs: Mapping[str, int]
    queued_since: datetime | None
    set_aside: list[CronJob]
    to_review: list[tuple[CronJob, int]]
    failures: list[CronRun]

    @property
    def faults(self) -> list[str]:
        """What keeps scheduled prompts from running, in sentences."""
        roles = {process.role for process in self.processes}
        found = []
        if self.enabled and SCHEDULER not in roles:
            found.append("No scheduler is running, so nothing is begun when it is due.")
        if (self.enabled or self.runs) and WORKER not in roles:
            found.append("No worker is running, so what is queued is not made.")
        return found


def is_alive(role: str) -> bool:
    """Whether a process of that role is alive."""
    return any(process.role == role for process in processes.alive())


def standing(now: datetime) -> Standing:
    """How scheduling stands, in a handful of queries."""
    enabled = CronJob.objects.filter(enabled=True)
    # Asked apart, as the indexes of what is open are.
    queued = CronRun.objects.filter(status=RunStatus.QUEUED).aggregate(
        count=Count("pk"), first=Min("queued_at")
    )
    begun = CronRun.objects.filter(status__in=BEGUN).order_by().values_list("status")
    counts = {RunStatus.QUEUED.value: queued["count"], **dict(begun.annotate(Count("pk")))}
    review = CronRun.objects.filter(needs_review=True).order_by().values_list("job")
    missed = dict(review.annotate(Count("pk")))
    wrong = CronRun.objects.filter(pk__gt=_first_id(now - LATELY), status__in=WENT_WRONG)
    return Standing(
        processes=processes.alive(now),
        enabled=enabled.count(),
        paused=CronJob.objects.filter(enabled=False).count(),
        due=enabled.filter(due_at__lte=now).count(),
        next_due=enabled.aggregate(first=Min("due_at"))["first"],
        runs={status: count for status, count in counts.items() if count},
        queued_since=queued["first"],
        set_aside=list(enabled.exclude(retry_at=None).select_related("team")[:MOST_SHOWN]),
        to_review=[
            (job, missed[job.pk])
            for job in CronJob.objects.filter(pk__in=missed).select_related("team")
        ],
        failures=list(
            wrong.select_related("job__team").defer("output", "asked").order_by("-pk")[:MOST_SHOWN]
        ),
    )


def _first_id(moment: datetime) -> UUID:
    """No run made after that moment has a lower one: they begin with the milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
