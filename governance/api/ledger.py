"""Calls, in the JSON API."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from ninja import Query, Router
from pydantic import Field

from governance.api.conventions import ActorRequest
from governance.api.ledger_schemas import CallOut, CallStoryOut
from governance.models import CallStatus, ModelCall
from providers.api.conventions import Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()

SEEING = "governance.view_modelcall"
NO_TEAM = refusals({404: "There is no such team, or you do not act for it."})


class CallQuery(PageQuery):
    """Which calls."""

    team: str | None = Field(None, description="A team's slug.")
    status: CallStatus | None = None
    model: str | None = Field(None, description="The name of the model that answered.")
    since: Moment | None = Field(None, description="Begun at this moment or later.")
    until: Moment | None = Field(None, description="Begun before this moment.")
    job_id: UUID | None = None
    run_id: UUID | None = None


@router.get(
    "/calls",
    response=Page[CallOut],
    operation_id="list_calls",
    summary="List calls",
    openapi_extra=NO_TEAM,
)
def list_calls(request: ActorRequest, page: Query[CallQuery]) -> Page[CallOut]:
    """The calls of your teams, newest first; with `governance.view_modelcall`, everyone's."""
    rows = _visible(request).defer("decision", "evaluations", "holds", "attempts")
    if page.team is not None:
        rows = rows.filter(team=request.auth.team(page.team, SEEING))
    wanted = {
        "status": page.status,
        "model": page.model,
        "admitted_at__gte": page.since,
        "admitted_at__lt": page.until,
        "job_id": page.job_id,
        "run_id": page.run_id,
    }
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    shown, following = read_page(rows, page, by="-admitted_at")
    items = [CallOut(**CallOut.values(row)) for row in shown]
    return Page[CallOut](items=items, next_cursor=following)


@router.get(
    "/calls/{uuid:call_id}",
    response=CallStoryOut,
    operation_id="get_call",
    summary="Tell a call's whole story",
)
def get_call(request: ActorRequest, call_id: UUID) -> CallStoryOut:
    """Which model was chosen and why, what each budget said, what was held and charged, and every
    attempt at a provider."""
    return CallStoryOut.of(find(_visible(request), pk=call_id))


def _visible(request: ActorRequest) -> QuerySet[ModelCall]:
    rows = ModelCall.objects.select_related("team", "api_key", "user")
    return rows.filter(request.auth.within(SEEING))
