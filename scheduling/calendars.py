"""Calendars of days on which scheduled prompts do not run: whose they are, and changing them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob, ExclusionCalendar

NAMED_JOBS = 5
OTHER_DAYS = "Its calendar was given other days before it began."
SAME_NAME = "There is a calendar of that name already."


def usable_by(team: Team) -> QuerySet[ExclusionCalendar]:
    """The team's calendars and those of everyone."""
    found: QuerySet[ExclusionCalendar] = ExclusionCalendar.objects.filter(
        Q(team=team) | Q(team__isnull=True)
    )
    return found


def create(*, team: Team | None, name: str, dates: Iterable[str]) -> ExclusionCalendar:
    """A calendar of that team, or of everyone. Raises `ValidationError` with every fault."""
    calendar = ExclusionCalendar(team=team, name=name.strip(), dates=list(dates))
    _store(calendar)
    return calendar


def change(
    calendar: ExclusionCalendar,
    *,
    now: datetime,
    name: str | None = None,
    dates: Iterable[str] | None = None,
) -> ExclusionCalendar:
    """Give it another name or other days; what it is used by goes by these from `now` on.

    Raises `ValidationError` with every fault, and changes nothing then.
    """
    with transaction.atomic():
        # Jobs that begin to go by it meanwhile need not wait, only for it to go on existing.
        stored = _locked(calendar, no_key=True)
        former = list(stored.dates)
        if name is not None:
            stored.name = name.strip()
        if dates is not None:
            stored.dates = list(dates)
        # In one order, so that two who change calendars do not wait for one another.
        users = stored.jobs.select_for_update(of=("self",)).order_by("pk")
        # What has come and was not dealt with has come by the former days.
        passed = [(job, jobs.passed_times(job, now)) for job in users]
        _store(stored)
        if stored.dates != former:
            _go_by_it_anew(passed, now)
    calendar.refresh_from_db()
    return calendar


def _go_by_it_anew(passed: Iterable[tuple[CronJob, jobs.Passed | None]], now: datetime) -> None:
    """Let what goes by the calendar have its next times by the new days."""
    for job, times in passed:
        jobs.assign_schedule(job, now=now, anew=True)
        job.save()
        job.move(next_slot=job.next_slot, due_at=job.due_at)
        jobs.account_for(job, times, now, OTHER_DAYS)


def delete(calendar: ExclusionCalendar) -> None:
    """Delete a calendar that no job goes by. Raises `ValidationError` that names those that do."""
    with transaction.atomic():
        stored = _locked(calendar)
        users = list(stored.jobs.order_by("name").values_list("name", flat=True)[: NAMED_JOBS + 1])
        if users:
            raise ValidationError(_in_use(stored.jobs.count(), users[:NAMED_JOBS]), code="in_use")
        stored.delete()


def _in_use(count: int, names: list[str]) -> str:
    named = ", ".join(f"“{name}”" for name in names)
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    noun = "scheduled prompt goes" if count == 1 else "scheduled prompts go"
    where = "it" if count == 1 else "these"
    return f"{count:,} {noun} by it: {named}{more}. Take it out of {where} first."


def _locked(calendar: ExclusionCalendar, *, no_key: bool = False) -> ExclusionCalendar:
    try:
        found: ExclusionCalendar = ExclusionCalendar.objects.select_for_update(no_key=no_key).get(
            pk=calendar.pk
        )
    except ExclusionCalendar.DoesNotExist:
        raise ValidationError("The calendar has been deleted.", code="deleted") from None
    return found


def _store(calendar: ExclusionCalendar) -> None:
    calendar.full_clean()
    try:
        with transaction.atomic():
            calendar.save()
    except IntegrityError:
        # Somebody else took the name meanwhile.
        raise ValidationError({"name": SAME_NAME}) from None
