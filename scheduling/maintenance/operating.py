"""What people and programs do with the jobs of upkeep. Every face calls these functions."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from scheduling import schedule as schedules
from scheduling.maintenance.booking import SHOWN_EVERY, is_asked_for, next_of
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.maintenance.timing import schedule_of
from scheduling.models import MaintenanceJob
from scheduling.schedule import Kind, ScheduleFault

OPERATE_PERMISSION = "scheduling.change_maintenancejob"
EITHER = "Give a cron expression or a number of seconds, not both."


def pause(job: MaintenanceJob, *, reason: str, now: datetime) -> MaintenanceJob:
    """Let it run no more until it is resumed; one under way goes on.

    Raises `ValidationError` without a reason: somebody will wonder.
    """
    reason = reason.strip()
    if not reason:
        raise ValidationError({"reason": "Say why, so that somebody knows when to resume it."})
    return _change(job, now=now, enabled=False, paused_reason=reason)


def resume(job: MaintenanceJob, *, now: datetime) -> MaintenanceJob:
    """Let it run again, from its first time after `now`."""
    return _change(job, now=now, enabled=True, paused_reason="")


def reschedule(
    job: MaintenanceJob, *, cron: str = "", every_seconds: int | None = None, now: datetime
) -> MaintenanceJob:
    """Have it run by a cron expression, read in UTC, or every so many seconds.

    Raises `ValidationError` with every fault by field.
    """
    cron = cron.strip()
    if cron and every_seconds is not None:
        raise ValidationError({"cron": EITHER, "every_seconds": EITHER})
    kind = Kind.EVERY if every_seconds is not None else Kind.CRON
    found = schedules.faults(kind=kind, cron=cron, every_seconds=every_seconds, at=None, zone="UTC")
    if found:
        raise ValidationError(found)
    return _change(job, now=now, cron=cron, every_seconds=every_seconds)


def run_now(job: MaintenanceJob, *, now: datetime) -> MaintenanceJob:
    """Have a scheduler run it once as soon as it can, even if it is paused."""
    MaintenanceJob.objects.filter(pk=job.pk).update(next_at=now)
    job.refresh_from_db()
    return job


def sentence(job: MaintenanceJob) -> str:
    """Its schedule in plain words."""
    try:
        schedule = schedule_of(cron=job.cron, every_seconds=job.every_seconds, now=timezone.now())
    except ScheduleFault as fault:
        return f"A schedule that cannot be used: {fault}"
    return schedules.sentence(schedule)


def is_running(job: MaintenanceJob, now: datetime) -> bool:
    """Whether a process is at it."""
    return job.lease_until is not None and job.lease_until > now


def waits_for_work(job: MaintenanceJob, now: datetime) -> bool:
    """Whether it is due and there was nothing to do: every scheduler looks when there is."""
    known = BY_NAME.get(job.name)
    if known is None or known.is_idle is None or job.next_at is None or is_asked_for(job):
        return False
    seen = job.last_finished_at
    return job.next_at <= now and seen is not None and now - seen < 2 * SHOWN_EVERY


def _change(job: MaintenanceJob, *, now: datetime, **values: object) -> MaintenanceJob:
    """Write what an operator changes, and nothing of what a scheduler may write meanwhile."""
    with transaction.atomic():
        stored = MaintenanceJob.objects.select_for_update().get(pk=job.pk)
        for name, value in values.items():
            setattr(stored, name, value)
        stored.clean_fields()
        stored.next_at = next_of(stored, now) if stored.enabled else None
        stored.save(update_fields=[*values, "next_at"])
    job.refresh_from_db()
    return job
