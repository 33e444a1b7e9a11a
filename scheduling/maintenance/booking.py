"""Who does a job of upkeep: one process at a time, whoever takes its row by a conditional update.

Whoever takes one has it until the lease ends, so a crash keeps the others waiting for no longer.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, Q, QuerySet, Value
from django.db.models.functions import Least

from scheduling.maintenance.catalogue import BY_NAME, CATALOGUE
from scheduling.maintenance.timing import following, schedule_of
from scheduling.models import MaintenanceJob, MaintenanceStatus
from scheduling.schedule import ScheduleFault

logger = logging.getLogger(__name__)
LONGEST_RESULT = 500
# A job that has nothing to do is taken, and so written to, this seldom.
SHOWN_EVERY = timedelta(minutes=1)
# What began further ahead than this did so before the clock was set back.
CLOCK_ERROR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended, in words."""

    ok: bool
    words: str


def make_rows(now: datetime) -> None:
    """Make the rows of jobs that have none yet, due as their default schedules say."""
    known = set(MaintenanceJob.objects.values_list("name", flat=True))
    missing = [one for one in CATALOGUE if one.name not in known]
    MaintenanceJob.objects.bulk_create(
        (
            MaintenanceJob(
                name=one.name,
                cron=one.cron,
                every_seconds=one.every_seconds,
                next_at=following(
                    schedule_of(cron=one.cron, every_seconds=one.every_seconds, now=now),
                    now,
                    failures=0,
                ),
            )
            for one in missing
        ),
        ignore_conflicts=True,
    )


def due(names: Collection[str], now: datetime) -> list[MaintenanceJob]:
    """Those of the jobs that are due and in nobody's hands: one query."""
    return list(_free(now).filter(pk__in=names).order_by("next_at"))


def claim(name: str, owner: UUID, now: datetime, lease: timedelta) -> bool:
    """Take a due job, unless somebody else has."""
    mine = _free(now).filter(pk=name)
    # A time from before the clock was set back must not look like one that is asked for meanwhile.
    next_at = Least("next_at", Value(now, DateTimeField()))
    changes = {"lease_until": now + lease, "last_started_at": now, "next_at": next_at}
    return mine.update(owner=owner, **changes) == 1


def _free(now: datetime) -> QuerySet[MaintenanceJob]:
    """The jobs that anybody may take. After the clock was set back the times of before say nothing:
    whatever is planned is due then, and no lease holds."""
    set_back = Q(last_started_at__gt=now + CLOCK_ERROR)
    nobodys = Q(lease_until=None) | Q(lease_until__lte=now) | set_back
    due = Q(next_at__lte=now) | (set_back & Q(next_at__isnull=False))
    return MaintenanceJob.objects.filter(nobodys & due)


def release(name: str, owner: UUID) -> None:
    """Give back a job that was broken off: it is as due as it was."""
    MaintenanceJob.objects.filter(pk=name, owner=owner).update(owner=None, lease_until=None)


def finish(name: str, owner: UUID, outcome: Outcome, now: datetime) -> None:
    """Write how it ended and when it comes next, unless its lease ended and it is another's.

    A paused job that was asked for once is paused again.
    """
    with transaction.atomic():
        job = MaintenanceJob.objects.select_for_update().filter(pk=name, owner=owner).first()
        if job is None:
            logger.warning("%s took longer than its lease.", BY_NAME[name].title)
            return
        failures = 0 if outcome.ok else job.failures_in_a_row + 1
        # An update, for what the system does by itself is no entry of the audit trail.
        MaintenanceJob.objects.filter(pk=name).update(
            owner=None,
            lease_until=None,
            last_finished_at=now,
            last_status=MaintenanceStatus.OK if outcome.ok else MaintenanceStatus.FAILED,
            last_result=outcome.words[:LONGEST_RESULT],
            failures_in_a_row=failures,
            next_at=_next(job, now, failures=failures),
        )


def _next(job: MaintenanceJob, now: datetime, *, failures: int) -> datetime | None:
    if not job.enabled:
        return None
    asked_for = job.next_at is not None and job.last_started_at is not None
    if asked_for and job.next_at > job.last_started_at:  # type: ignore[operator]
        # Somebody wanted it to run, or to run otherwise, while it ran.
        return job.next_at
    return next_of(job, now, failures=failures)


def is_asked_for(job: MaintenanceJob) -> bool:
    """Whether it is due because somebody wants it now, and not by its schedule."""
    return job.last_finished_at is not None and job.next_at != next_of(job, job.last_finished_at)


def next_of(job: MaintenanceJob, now: datetime, *, failures: int = 0) -> datetime:
    """When a job that is not paused comes next, by its own schedule or, if that cannot be used, by
    its default one."""
    try:
        schedule = schedule_of(cron=job.cron, every_seconds=job.every_seconds, now=now)
    except ScheduleFault:
        default = BY_NAME[job.name]
        schedule = schedule_of(cron=default.cron, every_seconds=default.every_seconds, now=now)
    return following(schedule, now, failures=failures)
