"""What the JSON API can do with scheduled prompts."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router, Status

from governance.api.conventions import ActorRequest
from providers.api.conventions import find, refusals
from providers.api.pages import Page, read_page
from scheduling import handling, jobs
from scheduling.api.schemas import (
    JobChange,
    JobIn,
    JobOut,
    JobQuery,
    PauseIn,
    PreviewOut,
    RunOut,
    RunQuery,
    TimingIn,
)
from scheduling.models import CronJob, CronRun

router = Router()

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
    values = body.model_dump(exclude={"team"})
    job = jobs.create_job(
        team=request.auth.team(body.team, "scheduling.add_cronjob"),
        created_by=request.auth.person,
        now=timezone.now(),
        **values,
    )
    return Status(201, JobOut.of(job))


@router.post(
    "/jobs/preview",
    response=PreviewOut,
    operation_id="preview_schedule",
    summary="Show when a schedule would run",
)
def preview_schedule(request: ActorRequest, body: TimingIn) -> PreviewOut:
    """The schedule in words and its next six times. Nothing is stored."""
    preview = jobs.preview(now=timezone.now(), **body.model_dump())
    return PreviewOut(sentence=preview.sentence, times=list(preview.times))


@router.get(
    "/jobs/{uuid:job_id}",
    response=JobOut,
    operation_id="get_job",
    summary="Show a scheduled prompt",
)
def get_job(request: ActorRequest, job_id: UUID) -> JobOut:
    """A scheduled prompt of one of your teams."""
    return JobOut.of(_job(request, job_id))


@router.patch(
    "/jobs/{uuid:job_id}",
    response=JobOut,
    operation_id="change_job",
    summary="Change a scheduled prompt",
)
def change_job(request: ActorRequest, job_id: UUID, body: JobChange) -> JobOut:
    """A run under way is not touched."""
    job = _job(request, job_id, CHANGING)
    return JobOut.of(jobs.update_job(job, now=timezone.now(), **body.given()))


@router.delete(
    "/jobs/{uuid:job_id}",
    response={204: None},
    operation_id="delete_job",
    summary="Delete a scheduled prompt",
)
def delete_job(request: ActorRequest, job_id: UUID) -> Status[None]:
    """Only one that has not run yet: what it did is part of the account. Pause it instead."""
    jobs.delete(_job(request, job_id, "scheduling.delete_cronjob"))
    return Status(204, None)


@router.post(
    "/jobs/{uuid:job_id}/run",
    response={201: RunOut},
    operation_id="run_job",
    summary="Run a scheduled prompt now",
)
def run_job(request: ActorRequest, job_id: UUID) -> Status[RunOut]:
    """Once, beside its schedule. The run is queued; ask for it again to see what came of it."""
    job = _job(request, job_id, CHANGING)
    return Status(201, RunOut.of(handling.run_now(job, now=timezone.now())))


@router.post(
    "/jobs/{uuid:job_id}/pause",
    response=JobOut,
    operation_id="pause_job",
    summary="Pause a scheduled prompt",
)
def pause_job(request: ActorRequest, job_id: UUID, body: PauseIn) -> JobOut:
    """It does not run until it is resumed, and what falls into the pause is not made up for."""
    job = _job(request, job_id, CHANGING)
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
    job = _job(request, job_id, CHANGING)
    jobs.resume(job, now=timezone.now())
    return JobOut.of(job)


@router.get(
    "/jobs/{uuid:job_id}/runs",
    response=Page[RunOut],
    operation_id="list_runs",
    summary="List a scheduled prompt's runs",
)
def list_runs(request: ActorRequest, job_id: UUID, page: Query[RunQuery]) -> Page[RunOut]:
    """Newest first, with what each answered, used and cost."""
    rows = CronRun.objects.filter(job=_job(request, job_id))
    if page.status is not None:
        rows = rows.filter(status=page.status)
    shown, following = read_page(rows, page, by="-slot")
    return Page[RunOut](items=[RunOut.of(row) for row in shown], next_cursor=following)


@router.get(
    "/runs/{uuid:run_id}",
    response=RunOut,
    operation_id="get_run",
    summary="Show a run",
)
def get_run(request: ActorRequest, run_id: UUID) -> RunOut:
    """What became of one firing."""
    rows = CronRun.objects.filter(request.auth.within("scheduling.view_cronrun", "job__team"))
    return RunOut.of(find(rows, pk=run_id))


def _visible(request: ActorRequest) -> QuerySet[CronJob]:
    rows = CronJob.objects.select_related("team", "created_by")
    return rows.filter(request.auth.within(SEEING))


def _job(request: ActorRequest, job_id: UUID, permission: str = SEEING) -> CronJob:
    """The job, if it may be seen; raises `PermissionDenied` if it may only be seen."""
    job = find(_visible(request), pk=job_id)
    request.auth.require_in(job.team_id, permission)
    return job


def _renamed(error: ValidationError, names: dict[str, str]) -> ValidationError:
    return ValidationError(
        {names.get(field, field): faults for field, faults in error.message_dict.items()}
    )
