"""What a schedule would mean: in words, and its next times with what is unusual about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError

from scheduling import schedule as schedules
from scheduling.models import CronJob, ExclusionCalendar
from scheduling.schedule import Kind, Upcoming

PREVIEW_COUNT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A schedule in words, and its next times. `spread_seconds` is over how many seconds they
    will begin later, where a job that is yet to be made has no delays of its own."""

    sentence: str
    times: list[Upcoming]
    spread_seconds: int = 0


def preview(
    *,
    schedule_kind: str,
    cron: str = "",
    every_seconds: int | None = None,
    at: datetime | None = None,
    zone: str = "UTC",
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    calendars: Iterable[ExclusionCalendar] = (),
    jitter_seconds: int = 0,
    max_runs: int | None = None,
    job: CronJob | None = None,
    now: datetime,
    count: int = PREVIEW_COUNT,
) -> Preview:
    """What a schedule would mean from `now` on; naive times are as clocks in `zone` show them.

    It may be another one for `job`: an interval that it has already goes on counting from where it
    began. Raises `ValidationError` with every fault.
    """
    calendars = list(calendars)
    given: dict[str, Any] = {
        "kind": schedule_kind,
        "cron": cron.strip(),
        "every_seconds": every_seconds,
        "at": aware(at, zone),
        "zone": zone,
        "starts_at": aware(starts_at, zone),
        "ends_at": aware(ends_at, zone),
    }
    _check(given, {"max_runs": max_runs, "jitter_seconds": jitter_seconds}, job, now)
    parsed = schedules.parse(
        **given,
        anchor_at=_anchor(job, schedule_kind, every_seconds, now),
        excluded=frozenset(day for calendar in calendars for day in calendar.days),
    )
    left = count if max_runs is None else max_runs - (job.run_count if job else 0)
    return Preview(
        sentence=schedules.sentence(parsed, [calendar.name for calendar in calendars]),
        times=schedules.marked(
            parsed,
            now,
            max(0, min(count, left)),
            job_id=job.pk if job else None,
            jitter_seconds=jitter_seconds,
        ),
        spread_seconds=0 if job else jitter_seconds,
    )


def next_times(job: CronJob, now: datetime, count: int = PREVIEW_COUNT) -> list[Upcoming]:
    """The job's next times, none for one that is paused, finished or cannot be used."""
    if not job.enabled or job.next_slot is None:
        return []
    left = count if job.runs_left is None else min(count, job.runs_left)
    try:
        when = job.schedule
    except schedules.ScheduleFault:
        return []
    return schedules.marked(when, now, left, job_id=job.pk, jitter_seconds=job.jitter_seconds)


def _check(
    given: dict[str, Any], counted: dict[str, Any], job: CronJob | None, now: datetime
) -> None:
    found = {**_column_faults({"cron": given["cron"], **counted}), **schedules.faults(**given)}
    at = given["at"]
    if given["kind"] == Kind.AT and at and "at" not in found and not _has(job, at):
        passed = schedules.at_fault(at, now)
        found |= {"at": [passed]} if passed else {}
    if found:
        raise ValidationError(found)


def _column_faults(values: dict[str, Any]) -> dict[str, list[str]]:
    """What the job's own fields say against the values."""
    found = {}
    for name, value in values.items():
        field: Any = CronJob._meta.get_field(name)
        try:
            field.clean(value, None)
        except ValidationError as error:
            found[name] = error.messages
    return found


def _has(job: CronJob | None, at: datetime) -> bool:
    """Whether that is the job's time already, which may have passed by itself."""
    return job is not None and (job.schedule_kind, job.at) == (Kind.AT, at)


def _anchor(
    job: CronJob | None, schedule_kind: str, every_seconds: int | None, now: datetime
) -> datetime:
    same = job is not None and (job.schedule_kind, job.every_seconds) == (
        schedule_kind,
        every_seconds,
    )
    if job is not None and same and schedule_kind == Kind.EVERY:
        return job.anchor_at
    return now.replace(microsecond=0)


def aware(time: datetime | None, zone: str) -> datetime | None:
    """A naive time placed in the zone; in UTC if there is no such zone or it leaves the calendar
    there, which is said by itself."""
    if time is None or time.tzinfo is not None:
        return time
    try:
        return schedules.local_time(time, zone)
    except (ValueError, OverflowError):
        return time.replace(tzinfo=UTC)
