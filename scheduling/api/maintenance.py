"""The jobs of Palyra's own upkeep, in the JSON API."""

from __future__ import annotations

from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, StrictInt

from governance.api.conventions import ActorRequest
from providers.api.conventions import Input, Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page
from scheduling.maintenance import operating
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.maintenance.operating import OPERATE_PERMISSION
from scheduling.models import MaintenanceJob

router = Router()
VIEW_PERMISSION = "scheduling.view_maintenancejob"
NO_JOB = refusals({404: "There is no maintenance job of that name."})


class MaintenanceOut(Schema):
    """A job of upkeep, and what came of it last."""

    name: str
    title: str
    does: str
    cron: str
    every_seconds: int | None
    sentence: str = Field(description="The schedule in words; cron is read in UTC.")
    enabled: bool = Field(description="false while it is paused.")
    paused_reason: str
    running: bool
    next_at: Moment | None = Field(
        description="null while it is paused; in the past while there is nothing to do."
    )
    last_started_at: Moment | None
    last_finished_at: Moment | None
    last_status: str = Field(description="ok, failed, or empty if it has not run.")
    last_result: str
    failures_in_a_row: int

    @classmethod
    def of(cls, job: MaintenanceJob) -> MaintenanceOut:
        known = BY_NAME.get(job.name)
        own = {"title", "does", "sentence", "running"}
        return cls(
            title=known.title if known else job.name,
            does=known.does if known else "",
            sentence=operating.sentence(job),
            running=operating.is_running(job, timezone.now()),
            **{name: getattr(job, name) for name in cls.model_fields if name not in own},
        )


class MaintenancePauseIn(Input):
    """Why a job of upkeep is paused."""

    reason: str


class MaintenanceScheduleIn(Input):
    """When a job of upkeep runs: one of the two."""

    cron: str = Field("", description="Five fields, read in UTC.")
    every_seconds: StrictInt | None = None


@router.get(
    "/maintenance",
    response=Page[MaintenanceOut],
    operation_id="list_maintenance",
    summary="List the maintenance jobs",
)
def list_maintenance(request: ActorRequest, page: Query[PageQuery]) -> Page[MaintenanceOut]:
    """By name, with what came of each last. Needs `scheduling.view_maintenancejob`."""
    request.auth.require(VIEW_PERMISSION)
    rows, following = read_page(MaintenanceJob.objects.all(), page, by="name")
    return Page[MaintenanceOut](
        items=[MaintenanceOut.of(row) for row in rows], next_cursor=following
    )


@router.post(
    "/maintenance/{slug:name}/pause",
    response=MaintenanceOut,
    operation_id="pause_maintenance",
    summary="Pause a maintenance job",
    openapi_extra=NO_JOB,
)
def pause_maintenance(request: ActorRequest, name: str, body: MaintenancePauseIn) -> MaintenanceOut:
    """One under way goes on to its end. Needs `scheduling.change_maintenancejob`."""
    job = _job(request, name)
    return MaintenanceOut.of(operating.pause(job, reason=body.reason, now=timezone.now()))


@router.post(
    "/maintenance/{slug:name}/resume",
    response=MaintenanceOut,
    operation_id="resume_maintenance",
    summary="Resume a maintenance job",
    openapi_extra=NO_JOB,
)
def resume_maintenance(request: ActorRequest, name: str) -> MaintenanceOut:
    """From its next time on. Needs `scheduling.change_maintenancejob`."""
    return MaintenanceOut.of(operating.resume(_job(request, name), now=timezone.now()))


@router.post(
    "/maintenance/{slug:name}/run",
    response=MaintenanceOut,
    operation_id="run_maintenance",
    summary="Run a maintenance job now",
    openapi_extra=NO_JOB,
)
def run_maintenance(request: ActorRequest, name: str) -> MaintenanceOut:
    """Once, within a second or two, by a scheduler; also if it is paused. Ask again to see what
    came of it. Needs `scheduling.change_maintenancejob`."""
    return MaintenanceOut.of(operating.run_now(_job(request, name), now=timezone.now()))


@router.put(
    "/maintenance/{slug:name}/schedule",
    response=MaintenanceOut,
    operation_id="schedule_maintenance",
    summary="Change when a maintenance job runs",
    openapi_extra=NO_JOB,
)
def schedule_maintenance(
    request: ActorRequest, name: str, body: MaintenanceScheduleIn
) -> MaintenanceOut:
    """By a cron expression or every so many seconds. Needs `scheduling.change_maintenancejob`."""
    job = _job(request, name)
    return MaintenanceOut.of(operating.reschedule(job, now=timezone.now(), **body.model_dump()))


def _job(request: ActorRequest, name: str) -> MaintenanceJob:
    request.auth.require(OPERATE_PERMISSION)
    return find(MaintenanceJob.objects.all(), pk=name)
