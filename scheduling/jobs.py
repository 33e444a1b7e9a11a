"""Scheduled prompts as people and programs change them. Every face calls these functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from governance.models import Channel, Team
from scheduling import outputs, prompts
from scheduling import schedule as schedules
from scheduling.counting import count_before, counted_words
from scheduling.deliveries import delivery_faults
from scheduling.models import (
    CronJob,
    CronRun,
    ExclusionCalendar,
    RunDelivery,
    RunStatus,
    RunTrigger,
)
from scheduling.previews import aware
from scheduling.schedule import FIELD_OF, Kind, Schedule, ScheduleFault

TIMING = ("schedule_kind", "cron", "every_seconds", "at", "zone", "starts_at", "ends_at")
EDITABLE = frozenset(
    {
        *TIMING,
        "name",
        "prompt",
        "system_prompt",
        "model",
        "max_output_tokens",
        "max_runs",
        "jitter_seconds",
        "overlap",
        "max_parallel",
        "misfire",
        "catch_up_limit",
        "catch_up_hours",
        "max_attempts",
        "backoff_seconds",
        "retry_unconfirmed",
        "max_runtime_seconds",
        "expected_seconds",
        "pause_after_failures",
        "task_class",
        "routing_mode",
        "parameters",
        "output_format",
        "output_schema",
    }
)
ONE_MICROSECOND = timedelta(microseconds=1)
EMPTY = {"cron": "", "every_seconds": None, "at": None}
MOMENTS = ("at", "starts_at", "ends_at")
SAY_WHY = "Say why, so that the team knows when to resume it."
PAUSED = "It was paused before it began."
PAUSED_REPLAY = "It was missed, and its job was paused before it was replayed."
# A schedule, None if it cannot be used, and the first of its times that nobody has dealt with.
Passed = tuple[Schedule | None, datetime]
# A channel, and after which runs it is told.
Wish = tuple[Channel, str]


def create_job(
    *,
    team: Team,
    now: datetime,
    created_by: Any = None,
    calendars: Iterable[ExclusionCalendar] = (),
    deliveries: Iterable[Wish] = (),
    **fields: Any,
) -> CronJob:
    """Schedule a prompt. `fields` are those of `EDITABLE`; naive times are as clocks in its zone
    show them. It leaves out the days of `calendars`, and tells of its runs as `deliveries` wish.

    Raises `ValidationError` with every fault by field, and stores nothing then.
    """
    _only_editable(fields)
    calendars, deliveries = list(calendars), list(deliveries)
    job = CronJob(team=team, created_by=created_by, anchor_at=_anchor(now))
    for field, value in _complete(job, fields).items():
        setattr(job, field, value)
    _check(job, calendars, deliveries)
    with transaction.atomic():
        assign_schedule(job, now=now, calendars=calendars)
        job.save()
        job.calendars.set(calendars)
        _wish(job, deliveries)
    return job


def update_job(
    job: CronJob,
    *,
    now: datetime,
    calendars: Iterable[ExclusionCalendar] | None = None,
    deliveries: Iterable[Wish] | None = None,
    **changes: Any,
) -> CronJob:
    """Change the named fields; a changed schedule counts from now on.

    With another `schedule_kind`, the fields of the former one are emptied. Raises `ValidationError`
    with every fault by field, and changes nothing then.
    """
    _only_editable(changes)
    wished = None if deliveries is None else list(deliveries)
    _look_ahead(job, changes)
    with transaction.atomic():
        stored = _locked(job)
        passed = passed_times(stored, now)
        left_out = list(stored.calendars.all() if calendars is None else calendars)
        for field, value in _complete(stored, changes).items():
            setattr(stored, field, value)
        _check(stored, left_out, wished or ())
        anew = calendars is not None and set(left_out) != set(stored.calendars.all())
        assign_schedule(stored, now=now, calendars=left_out, anew=anew)
        stored.save()
        account_for(stored, passed, now, "Its schedule was changed before it began.")
        if anew:
            stored.calendars.set(left_out)
            stored.move(next_slot=stored.next_slot, due_at=stored.due_at)
        if wished is not None:
            _wish(stored, wished)
    job.refresh_from_db()
    return job


def _only_editable(fields: dict[str, Any]) -> None:
    unknown = fields.keys() - EDITABLE
    if unknown:
        raise TypeError(f"A scheduled prompt has no changeable {', '.join(sorted(unknown))}.")


def _look_ahead(job: CronJob, changes: dict[str, Any]) -> None:
    """Look at what can take a moment to check before anybody has to wait for the row.

    What is found is remembered, and said of the whole by `_check`.
    """
    for field in ("prompt", "system_prompt"):
        text = changes.get(field, getattr(job, field))
        if isinstance(text, str):
            prompts.faults(text)
    outputs.schema_faults(changes.get("output_schema", job.output_schema))


def _check(job: CronJob, calendars: list[ExclusionCalendar], wishes: Iterable[Wish]) -> None:
    """Raises `ValidationError` with every fault of the job and what is to go with it."""
    found: dict[str, list[Any]] = {}
    try:
        job.full_clean()
    except ValidationError as error:
        found = dict(error.error_dict)
    foreign = [calendar for calendar in calendars if calendar.team_id not in (None, job.team_id)]
    if foreign:
        found["calendars"] = [f"The calendar “{one}” is another team’s." for one in foreign]
    faults = delivery_faults(job.team, wishes)
    if faults:
        found["deliveries"] = list(faults)
    if found:
        raise ValidationError(found)


def _wish(job: CronJob, wishes: Iterable[Wish]) -> None:
    """Have exactly these deliveries."""
    kept = {(channel.pk, on) for channel, on in wishes}
    for one in job.deliveries.all():
        if (one.channel_id, one.on) in kept:
            kept.discard((one.channel_id, one.on))
        else:
            one.delete()
    for channel_id, on in sorted(kept):
        RunDelivery.objects.create(job=job, channel_id=channel_id, on=on)


def pause(job: CronJob, *, reason: str, now: datetime) -> CronJob:
    """Let the job run no more until it is resumed; a run under way goes on. Those that wait for a
    place behind it are skipped, but for what people started; replays are to be decided on again.

    Raises `ValidationError` without a reason: the team will wonder.
    """
    if not reason.strip():
        raise ValidationError({"paused_reason": SAY_WHY})
    with transaction.atomic():
        stored = _locked(job)
        passed = passed_times(stored, now)
        stored.enabled = False
        stored.paused_reason = reason.strip()
        stored.clean_fields(exclude=_all_fields_but("paused_reason"))
        assign_schedule(stored, now=now)
        stored.save()
        _skip_what_waits(stored, now)
        account_for(stored, passed, now, PAUSED)
    job.refresh_from_db()
    return job


def _skip_what_waits(job: CronJob, now: datetime) -> None:
    """End the runs that wait for a place; they are none of those that the job may have. Those that
    a person wanted replayed are to be decided on again."""
    waiting = job.runs.filter(status=RunStatus.QUEUED, lane=None).exclude(trigger=RunTrigger.MANUAL)
    waiting.filter(trigger=RunTrigger.REPLAY).update(
        status=RunStatus.MISSED, needs_review=True, reason=PAUSED_REPLAY, finished_at=now
    )
    counted = waiting.update(status=RunStatus.SKIPPED, reason=PAUSED, finished_at=now)
    if counted:
        job.move(run_count=max(0, job.run_count - counted))


def passed_times(job: CronJob, now: datetime) -> Passed | None:
    """The times of the job that had come by `now` and that nobody has dealt with; None if none."""
    if job.next_slot is None or job.next_slot > now:
        return None
    try:
        return job.schedule, job.next_slot
    except ScheduleFault:
        return None, job.next_slot


def account_for(job: CronJob, passed: Passed | None, now: datetime, why: str) -> None:
    """Leave a row for scheduled times that had come, and that nobody deals with any more: the last
    of them says how many there were."""
    if passed is None or job.next_slot == passed[1]:
        return
    when, first = passed
    last, before = first, 0
    if when is not None:
        # What comes from its next time on is still dealt with.
        until = now if job.next_slot is None else min(now, job.next_slot - ONE_MICROSECOND)
        last = schedules.latest(when, first, until)
        before = count_before(when, first, last)
    row = CronRun(
        job=job,
        slot=last,
        status=RunStatus.SKIPPED,
        reason=f"{why} The same goes for {counted_words(when, before)} before it."
        if when and before
        else why,
        missed_before=before,
        queued_at=now,
        finished_at=now,
    )
    CronRun.objects.bulk_create([row], ignore_conflicts=True)


def resume(job: CronJob, *, now: datetime) -> CronJob:
    """Let the job run again, from its first time after `now`: a pause is no miss.

    Raises `ValidationError` if there is no such time.
    """
    with transaction.atomic():
        stored = _locked(job)
        stored.enabled = True
        assign_schedule(stored, now=now)
        if stored.next_slot is None:
            raise ValidationError(_no_time_left(stored))
        stored.save()
        stored.move(failures_in_a_row=0)
    job.refresh_from_db()
    return job


def _no_time_left(job: CronJob) -> dict[str, str]:
    if job.runs_left == 0:
        return {"max_runs": "It has had as many runs as it may. Allow it more first."}
    if job.schedule_kind == Kind.AT:
        return {"at": "Its time has passed. Give it a time to come first."}
    return {"ends_at": "Its end has passed. Give it a later one, or none, first."}


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


def sentence(job: CronJob) -> str:
    """The job's schedule in plain words."""
    try:
        return schedules.sentence(job.schedule, [one.name for one in job.calendars.all()])
    except ScheduleFault as fault:
        return f"A schedule that cannot be used: {fault}"


def assign_schedule(
    job: CronJob,
    *,
    now: datetime,
    calendars: Iterable[ExclusionCalendar] | None = None,
    anew: bool = False,
) -> None:
    """Prepare a checked job for `save`: count the edit, and set its next run if its timing changed,
    or `anew` says that the days it leaves out have. Those are in `calendars`, its own if None.

    Intervals count from `now` where they are new; a paused job has no next run. A scheduled time
    that has come and was not dealt with yet stays the next one if it still is one.
    """
    after = now
    if not job._state.adding and job.next_slot is not None and not job.times_changed:
        after = min(now, job.next_slot - ONE_MICROSECOND)
    if job._state.adding:
        job.anchor_at = _anchor(now)
    else:
        job.revision += 1
        if not (anew or job.timing_changed):
            return
        if job.interval_changed:
            job.anchor_at = _anchor(now)
    job.next_slot = job.due_at = None
    if job.enabled and job.runs_left != 0:
        when = job.schedule if calendars is None else job.schedule_apart_from(calendars)
        job.next_slot, job.due_at = job.first_due(when, after)
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
    for field in MOMENTS:
        if field in changes:
            changes[field] = aware(changes[field], changes.get("zone", stored.zone))
    kind = changes.get("schedule_kind", stored.schedule_kind)
    if kind != stored.schedule_kind and kind in set(Kind):
        foreign = {name: EMPTY[name] for name in EMPTY if name != FIELD_OF[Kind(kind)]}
        changes = foreign | changes
    return changes


def _anchor(now: datetime) -> datetime:
    """Whole seconds, so that intervals fall on times that can be read."""
    return now.replace(microsecond=0)


def _all_fields_but(*names: str) -> list[str]:
    return [field.name for field in CronJob._meta.fields if field.name not in names]
