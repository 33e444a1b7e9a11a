"""What the JSON API can do with scheduled prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from ninja import Query, Router, Status

from governance.api.conventions import ActorRequest
from governance.models import Channel, Team
from providers.api.conventions import find, refusals
from providers.api.pages import Page, read_page
from scheduling import handling, jobs, trials
from scheduling.api.run_schemas import RunOut
from scheduling.api.schemas import (
    JobChange,
    JobIn,
    JobOut,
    JobQuery,
    ParametersIn,
    PauseIn,
    PreviewOut,
    RehearsalOut,
    ReviewIn,
    ReviewOut,
    RunDeliveryIn,
    TimingIn,
)
from scheduling.calendars import usable_by
from scheduling.deliveries import channels_for
from scheduling.models import CronJob, CronRun, ExclusionCalendar
from scheduling.previews import preview

router = Router()
Found = TypeVar("Found")
Faults = dict[str, list[str]]

SEEING = "scheduling.view_cronjob"
CHANGING = "scheduling.change_cronjob"
NO_TEAM = refusals({404: "There is no such team, or you do not act for it."})


@router.get(
    "/jobs",
    response=Page[JobOut],
    operation_id="list_jobs",
    summary="List scheduled prompts",
    openapi_extra=NO_TEAM,
)
def list_jobs(request: ActorRequest, page: Query[JobQuery]) -> Page[JobOut]:
    """Those of your teams, by name; with `scheduling.view_cronjob`, everyone's."""
    rows = _visible(request)
    if page.team is not None:
        rows = rows.filter(team=request.auth.team(page.team, SEEING))
    if page.needs_review is not None:
        waiting = Exists(CronRun.objects.filter(job=OuterRef("pk"), needs_review=True))
        rows = rows.filter(waiting if page.needs_review else ~waiting)
    shown, following = read_page(rows, page, by="name")
    return Page[JobOut](items=[JobOut.of(row) for row in shown], next_cursor=following)


@router.post(
    "/jobs",
    response={201: JobOut},
    operation_id="add_job",
    summary="Schedule a prompt",
    openapi_extra=NO_TEAM,
)
def add_job(request: ActorRequest, body: JobIn) -> Status[JobOut]:
    """It runs from its next scheduled time on, and its calls are the team's."""
    team = request.auth.team(body.team, "scheduling.add_cronjob")
    given = {name: getattr(body, name) for name in JobIn.model_fields if name != "team"}
    values, faults = _with_rows(team, given)
    by, now = request.auth.person, timezone.now()
    job = _all_at_once(faults, lambda: jobs.create_job(team=team, created_by=by, now=now, **values))
    return Status(201, JobOut.of(job))


@router.post(
    "/jobs/preview",
    response=PreviewOut,
    operation_id="preview_schedule",
    summary="Show when a schedule would run",
)
def preview_schedule(request: ActorRequest, body: TimingIn) -> PreviewOut:
    """The schedule in words and its next six times. Nothing is stored."""
    given = {name: getattr(body, name) for name in TimingIn.model_fields}
    mine = Q(team__isnull=True) | request.auth.within(SEEING)
    given["calendars"], missing = _rows(ExclusionCalendar.objects.filter(mine), body.calendars)
    faults = {"calendars": missing} if missing else {}
    found = _all_at_once(faults, lambda: preview(now=timezone.now(), **given))
    return PreviewOut.of(found)


@router.get(
    "/jobs/{uuid:job_id}",
    response=JobOut,
    operation_id="get_job",
    summary="Show a scheduled prompt",
)
def get_job(request: ActorRequest, job_id: UUID) -> JobOut:
    """A scheduled prompt of one of your teams."""
    return JobOut.of(job_seen(request, job_id))


@router.patch(
    "/jobs/{uuid:job_id}",
    response=JobOut,
    operation_id="change_job",
    summary="Change a scheduled prompt",
)
def change_job(request: ActorRequest, job_id: UUID, body: JobChange) -> JobOut:
    """A run under way is not touched."""
    job = job_seen(request, job_id, CHANGING)
    values, faults = _with_rows(job.team, body.given())
    now = timezone.now()
    return JobOut.of(_all_at_once(faults, lambda: jobs.update_job(job, now=now, **values)))


@router.delete(
    "/jobs/{uuid:job_id}",
    response={204: None},
    operation_id="delete_job",
    summary="Delete a scheduled prompt",
)
def delete_job(request: ActorRequest, job_id: UUID) -> Status[None]:
    """Only one that has not run yet: what it did is part of the account. Pause it instead."""
    jobs.delete(job_seen(request, job_id, "scheduling.delete_cronjob"))
    return Status(204, None)


@router.post(
    "/jobs/{uuid:job_id}/run",
    response={201: RunOut},
    operation_id="run_job",
    summary="Run a scheduled prompt now",
)
def run_job(
    request: ActorRequest, job_id: UUID, body: ParametersIn | None = None
) -> Status[RunOut]:
    """Once, beside its schedule. The run is queued; ask for it again to see what came of it."""
    job = job_seen(request, job_id, CHANGING)
    parameters = body.parameters if body else None
    return Status(201, RunOut.of(handling.run_now(job, now=timezone.now(), parameters=parameters)))


@router.post(
    "/jobs/{uuid:job_id}/rehearse",
    response=RehearsalOut,
    operation_id="rehearse_job",
    summary="Rehearse a scheduled prompt",
)
def rehearse_job(
    request: ActorRequest, job_id: UUID, body: ParametersIn | None = None
) -> RehearsalOut:
    """The prompt as it would be sent now, with an answer that no model gave. Nothing is sent,
    nothing is spent and nothing is stored."""
    job = job_seen(request, job_id, CHANGING)
    found = trials.rehearse(job, (body and body.parameters) or {}, timezone.now())
    return RehearsalOut(
        system_prompt=found.system_prompt,
        prompt=found.prompt,
        output=found.output,
        faults=list(found.faults),
    )


@router.post(
    "/jobs/{uuid:job_id}/review",
    response=ReviewOut,
    operation_id="review_missed_times",
    summary="Decide on missed times",
)
def review_missed_times(request: ActorRequest, job_id: UUID, body: ReviewIn) -> ReviewOut:
    """All that the job has to be decided on: `GET /runs?needs_review=true` lists them."""
    job = job_seen(request, job_id, CHANGING)
    return ReviewOut(queued=handling.review(job, decision=body.decision, now=timezone.now()))


@router.post(
    "/jobs/{uuid:job_id}/pause",
    response=JobOut,
    operation_id="pause_job",
    summary="Pause a scheduled prompt",
)
def pause_job(request: ActorRequest, job_id: UUID, body: PauseIn) -> JobOut:
    """It does not run until it is resumed, and what falls into the pause is not made up for."""
    job = job_seen(request, job_id, CHANGING)
    try:
        jobs.pause(job, reason=body.reason, now=timezone.now())
    except ValidationError as error:
        raise _renamed(error, {"paused_reason": "reason"}) from None
    return JobOut.of(job)


@router.post(
    "/jobs/{uuid:job_id}/resume",
    response=JobOut,
    operation_id="resume_job",
    summary="Resume a scheduled prompt",
)
def resume_job(request: ActorRequest, job_id: UUID) -> JobOut:
    """It runs again from its next scheduled time on."""
    job = job_seen(request, job_id, CHANGING)
    jobs.resume(job, now=timezone.now())
    return JobOut.of(job)


def _visible(request: ActorRequest) -> QuerySet[CronJob]:
    rows = CronJob.objects.select_related("team", "created_by")
    rows = rows.prefetch_related("calendars", "deliveries__channel")
    return rows.filter(request.auth.within(SEEING))


def job_seen(request: ActorRequest, job_id: UUID, permission: str = SEEING) -> CronJob:
    """The job, if it may be seen; raises `PermissionDenied` if it may only be seen."""
    job = find(_visible(request), pk=job_id)
    request.auth.require_in(job.team_id, permission)
    return job


def _renamed(error: ValidationError, names: dict[str, str]) -> ValidationError:
    return ValidationError(
        {names.get(field, field): faults for field, faults in error.message_dict.items()}
    )


def _all_at_once(faults: Faults, do: Callable[[], Found]) -> Found:
    """What `do` gives. Raises `ValidationError` with `faults` and all that it finds itself, and has
    nothing stored then."""
    try:
        with transaction.atomic():
            found = do()
            if faults:
                raise ValidationError({})
    except ValidationError as error:
        if not faults:
            raise
        said = error.update_error_dict({})
        own = {name: [text for one in of for text in one.messages] for name, of in said.items()}
        every = dict.fromkeys((*faults, *own))
        raise ValidationError(
            {name: [*faults.get(name, ()), *own.get(name, ())] for name in every}
        ) from None
    return found


def _with_rows(team: Team, given: dict[str, Any]) -> tuple[dict[str, Any], Faults]:
    """`given` with the calendars and channels that it names in place of their identifiers, and what
    is wrong with those that the team may not use, which look like none and are left out."""
    values, faults = dict(given), {}
    if given.get("calendars") is not None:
        values["calendars"], faults["calendars"] = _rows(usable_by(team), given["calendars"])
    if given.get("deliveries") is not None:
        values["deliveries"], faults["deliveries"] = _wishes(team, given["deliveries"])
    return values, {name: said for name, said in faults.items() if said}


def _wishes(
    team: Team, wished: Iterable[RunDeliveryIn]
) -> tuple[list[tuple[Channel, str]], list[str]]:
    wished = list(wished)
    channels, missing = _rows(channels_for(team), [wish.channel for wish in wished])
    by_id = {channel.pk: channel for channel in channels}
    found = [(by_id[wish.channel], wish.on) for wish in wished if wish.channel in by_id]
    return found, missing


def _rows(rows: QuerySet[Any], ids: Iterable[int]) -> tuple[list[Any], list[str]]:
    """The rows of these identifiers, and a fault for each that is none."""
    ids = list(dict.fromkeys(ids))
    found = rows.in_bulk(ids)
    what = rows.model._meta.verbose_name
    missing = [
        f"There is no {what} “{key}” that the team may use." for key in ids if key not in found
    ]
    return [found[key] for key in ids if key in found], missing
