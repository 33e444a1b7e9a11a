"""Scheduled prompts as people and programs change them. Every face calls these functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from governance.models import Team
from scheduling import messages
from scheduling import schedule as schedules
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.schedule import FIELD_OF, Kind, ScheduleFault

PREVIEW_COUNT = 6
EDITABLE = frozenset(
    {
        "name",
        "schedule_kind",
        "cron",
        "every_seconds",
        "at",
        "zone",
        "prompt",
        "system_prompt",
        "model",
        "max_output_tokens",
    }
)
EMPTY = {"cron": "", "every_seconds": None, "at": None}


@dataclass(frozen=True, slots=True)
class Preview:
    """A schedule in words, and its next times in UTC."""

    sentence: str
    times: list[datetime]


def create_job(
    *,
    team: Team,
    name: str,
    schedule_kind: str,
    cron: str = "",
    every_seconds: int | None = None,
    at: datetime | None = None,
    zone: str = "UTC",
    prompt: str,
    system_prompt: str = "",
    model: str = "auto",
    max_output_tokens: int | None = None,
    created_by: Any = None,
    now: datetime,
) -> CronJob:
    """Schedule a prompt. A naive `at` is a time as clocks in `zone` show it.

    Raises `ValidationError` with every fault by field, and stores nothing then.
    """
    job = CronJob(
        team=team,
        name=name.strip(),
        schedule_kind=schedule_kind,
        cron=cron.strip(),
        every_seconds=every_seconds,
        at=_aware(at, zone),
        zone=zone,
        prompt=prompt,
        system_prompt=system_prompt,
        model=model,
        max_output_tokens=max_output_tokens,
        created_by=created_by,
        anchor_at=_anchor(now),
    )
    job.full_clean()
    assign_schedule(job, now=now)
    job.save()
    return job


def update_job(job: CronJob, *, now: datetime, **changes: Any) -> CronJob:
    """Change the named fields; a changed schedule counts from now on.

    With another `schedule_kind`, the fields of the former one are emptied. Raises `ValidationError`
    with every fault by field, and changes nothing then.
    """
    unknown = changes.keys() - EDITABLE
    if unknown:
        raise TypeError(f"A scheduled prompt has no changeable {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        stored = _locked(job)
        for field, value in _complete(stored, changes).items():
            setattr(stored, field, value)
        stored.full_clean()
        assign_schedule(stored, now=now)
        stored.save()
    job.refresh_from_db()
    return job


def pause(job: CronJob, *, reason: str, now: datetime) -> CronJob:
    """Let the job run no more until it is resumed; a run under way goes on."""
    with transaction.atomic():
        stored = _locked(job)
        stored.enabled = False
        stored.paused_reason = reason.strip()
        stored.clean_fields(exclude=_all_fields_but("paused_reason"))
        assign_schedule(stored, now=now)
        stored.save()
    job.refresh_from_db()
    return job


def resume(job: CronJob, *, now: datetime) -> CronJob:
    """Let the job run again, from its first time after `now`: a pause is no miss.

    Raises `ValidationError` if there is no such time.
    """
    with transaction.atomic():
        stored = _locked(job)
        stored.enabled = True
        assign_schedule(stored, now=now)
        if stored.next_slot is None:
            raise ValidationError({"at": "Its time has passed. Give it a time to come first."})
        stored.save()
    job.refresh_from_db()
    return job


def delete(job: CronJob) -> None:
    """Delete a job that has not run. Raises `ValidationError` for one that has: pause it instead,
    for its runs are part of the account."""
    with transaction.atomic():
        stored = _locked(job)
        if stored.runs.exists():
            raise ValidationError(
                "It has run, and its runs are part of the account. Pause it instead.", code="ran"
            )
        stored.delete()


def run_now(job: CronJob, *, now: datetime) -> CronRun:
    """Run the job once, beside its schedule, even if it is paused.

    Raises `ValidationError` while another run of it is queued or running.
    """
    busy = ValidationError("A run of it is queued or under way. Wait for it to end.", code="busy")
    try:
        with transaction.atomic():
            stored = _locked(job)
            if stored.runs.filter(status__in=ACTIVE).exists():
                raise busy
            run = CronRun.objects.create(
                job=stored,
                slot=now,
                trigger=RunTrigger.MANUAL,
                lane=0,
                status=RunStatus.QUEUED,
                queued_at=now,
            )
            messages.send([run])
    except IntegrityError:
        # Somebody else was faster: the database allows one active run a job.
        raise busy from None
    return run


def preview(
    *,
    schedule_kind: str,
    cron: str = "",
    every_seconds: int | None = None,
    at: datetime | None = None,
    zone: str = "UTC",
    now: datetime,
    count: int = PREVIEW_COUNT,
) -> Preview:
    """What a schedule would mean from `now` on. Raises `ValidationError` with every fault."""
    at = _aware(at, zone)
    found = schedules.faults(
        kind=schedule_kind, cron=cron, every_seconds=every_seconds, at=at, zone=zone
    )
    if schedule_kind == Kind.AT and at and "at" not in found:
        passed = schedules.at_fault(at, now)
        found |= {"at": [passed]} if passed else {}
    if found:
        raise ValidationError(found)
    parsed = schedules.parse(
        kind=schedule_kind,
        cron=cron,
        every_seconds=every_seconds,
        at=at,
        zone=zone,
        anchor_at=_anchor(now),
    )
    return Preview(schedules.sentence(parsed), schedules.upcoming(parsed, now, count))


def sentence(job: CronJob) -> str:
    """The job's schedule in plain words."""
    try:
        return schedules.sentence(job.schedule)
    except ScheduleFault as fault:
        return f"A schedule that cannot be used: {fault}"


def assign_schedule(job: CronJob, *, now: datetime) -> None:
    """Prepare a checked job for `save`: count the edit, and set its next run if its timing changed.

    Intervals count from `now` where they are new; a paused job has no next run.
    """
    if job._state.adding:
        job.anchor_at = _anchor(now)
    else:
        job.revision += 1
        if not job.timing_changed:
            return
        if job.interval_changed:
            job.anchor_at = _anchor(now)
    job.next_slot = schedules.next_after(job.schedule, now) if job.enabled else None
    job.retry_at = None
    job.last_error = ""
    if job.enabled:
        job.paused_reason = ""


def _locked(job: CronJob) -> CronJob:
    try:
        return CronJob.objects.select_for_update().get(pk=job.pk)
    except CronJob.DoesNotExist:
        raise ValidationError("The scheduled prompt has been deleted.", code="deleted") from None


def _complete(stored: CronJob, changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` with text stripped, a naive `at` placed, and another kind's fields emptied."""
    changes = dict(changes)
    for field in ("name", "cron"):
        if isinstance(changes.get(field), str):
            changes[field] = changes[field].strip()
    if "at" in changes:
        changes["at"] = _aware(changes["at"], changes.get("zone", stored.zone))
    kind = changes.get("schedule_kind", stored.schedule_kind)
    if kind != stored.schedule_kind and kind in set(Kind):
        foreign = {name: EMPTY[name] for name in EMPTY if name != FIELD_OF[Kind(kind)]}
        changes = foreign | changes
    return changes


def _aware(at: datetime | None, zone: str) -> datetime | None:
    if at is None or at.tzinfo is not None:
        return at
    try:
        return schedules.local_time(at, zone)
    except ValueError:
        # The zone is at fault and is said to be; the time must only be no second one.
        return at.replace(tzinfo=UTC)


def _anchor(now: datetime) -> datetime:
    """Whole seconds, so that intervals fall on times that can be read."""
    return now.replace(microsecond=0)


def _all_fields_but(*names: str) -> list[str]:
    return [field.name for field in CronJob._meta.fields if field.name not in names]
