"""What the JSON API can do with runs of scheduled prompts."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router

from governance.api.conventions import ActorRequest
from providers.api.conventions import find, refusals
from providers.api.pages import Page, read_page
from scheduling import handling
from scheduling.api.jobs import CHANGING, job_seen
from scheduling.api.run_schemas import CancelIn, RunOut, RunQuery, RunsQuery
from scheduling.models import CronRun

router = Router()

SEEING_RUNS = "scheduling.view_cronrun"
NONE_SUCH = refusals({404: "There is no such team or scheduled prompt that you may see."})


@router.get(
    "/jobs/{uuid:job_id}/runs",
    response=Page[RunOut],
    operation_id="list_runs",
    summary="List a scheduled prompt's runs",
)
def list_runs(request: ActorRequest, job_id: UUID, page: Query[RunQuery]) -> Page[RunOut]:
    """Newest first, with what each answered, used and cost."""
    return _page(CronRun.objects.filter(job=job_seen(request, job_id)), page)


@router.get(
    "/runs",
    response=Page[RunOut],
    operation_id="list_all_runs",
    summary="List runs of every scheduled prompt",
    openapi_extra=NONE_SUCH,
)
def list_all_runs(request: ActorRequest, page: Query[RunsQuery]) -> Page[RunOut]:
    """Those of your teams, newest first; with `scheduling.view_cronrun`, everyone's."""
    rows = _visible(request)
    if page.team is not None:
        rows = rows.filter(job__team=request.auth.team(page.team, SEEING_RUNS))
    if page.job is not None:
        rows = rows.filter(job=job_seen(request, page.job))
    return _page(rows, page)


@router.get(
    "/runs/{uuid:run_id}",
    response=RunOut,
    operation_id="get_run",
    summary="Show a run",
)
def get_run(request: ActorRequest, run_id: UUID) -> RunOut:
    """What became of one firing."""
    return RunOut.of(find(_visible(request), pk=run_id))


@router.post(
    "/runs/{uuid:run_id}/cancel",
    response=RunOut,
    operation_id="cancel_run",
    summary="Cancel a run",
)
def cancel_run(request: ActorRequest, run_id: UUID, body: CancelIn) -> RunOut:
    """One that has not ended. A call under way is broken off within a second, and charged as far
    as it got; its run ends right after."""
    run = find(_visible(request).select_related("job"), pk=run_id)
    request.auth.require_in(run.job.team_id, CHANGING)
    return RunOut.of(handling.cancel(run, now=timezone.now(), reason=body.reason))


def _visible(request: ActorRequest) -> QuerySet[CronRun]:
    return CronRun.objects.filter(request.auth.within(SEEING_RUNS, "job__team"))


def _page(rows: QuerySet[CronRun], page: RunQuery) -> Page[RunOut]:
    if page.status is not None:
        rows = rows.filter(status=page.status)
    if page.needs_review is not None:
        rows = rows.filter(needs_review=page.needs_review)
    shown, following = read_page(rows, page, by="-slot")
    return Page[RunOut](items=[RunOut.of(row) for row in shown], next_cursor=following)
