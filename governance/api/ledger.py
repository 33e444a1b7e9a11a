"""Calls, in the JSON API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, StrictBool

from governance import corrections
from governance.api.conventions import ActorRequest, Dollars
from governance.api.ledger_schemas import CallOut, CallStoryOut
from governance.audit import record
from governance.models import CallStatus, KeptCall, ModelCall
from governance.texts import READ, READ_PERMISSION
from providers.api.conventions import Input, Moment, find, refusals
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


class CorrectionIn(Input):
    """What really became of a call."""

    answered: StrictBool = Field(description="false: it never was, and nothing is billed.")
    reason: str = Field(description="How you know; the audit trail keeps it.")
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Dollars | None = Field(
        None, description="What the model's price says of the tokens, if left out."
    )


class KeptAnswerOut(Schema):
    """What came of a call that was kept until it was approved."""

    call_id: str
    status: CallStatus
    ended_at: Moment | None = Field(description="null while it waits or is being made.")
    answer: dict[str, Any] | None = Field(
        description="`body` is the answer in OpenAI's format; null until there is one."
    )
    error: dict[str, Any] | None = Field(
        description="As the endpoint would have answered: status, code and message."
    )


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


@router.get(
    "/calls/{uuid:call_id}/answer",
    response=KeptAnswerOut,
    operation_id="get_kept_answer",
    summary="Fetch the answer of a call that was kept",
    openapi_extra=refusals(
        {
            403: "It is another team's, and takes the permission `governance.read_calltext`.",
            404: "There is no such call, or it was not kept.",
        }
    ),
)
def get_kept_answer(request: ActorRequest, call_id: UUID) -> KeptAnswerOut:
    """A call that needed approval and was asked for with `Prefer: respond-async`. Its answer is
    kept for a day. Of a team that you are not of, it takes the permission
    `governance.read_calltext`, and that you read it is in the audit trail."""
    call = find(_visible(request), pk=call_id)
    kept = find(KeptCall.objects.all(), pk=call.pk)
    if not request.auth.is_of(call.team_id):
        request.auth.require(READ_PERMISSION)
        if kept.answer is not None:
            record(READ, call, {})
    return KeptAnswerOut(
        call_id=str(call.pk),
        status=CallStatus(call.status),
        ended_at=kept.ended_at,
        answer=kept.answer,
        error=kept.error,
    )


@router.post(
    "/calls/{uuid:call_id}/correct",
    response=CallStoryOut,
    operation_id="correct_call",
    summary="Correct a call that nobody settled",
    openapi_extra=refusals(
        {
            403: "It takes the permission `governance.change_modelcall`.",
            404: "There is no such call.",
            409: "It is not unconfirmed, or no longer.",
        }
    ),
)
def correct_call(request: ActorRequest, call_id: UUID, body: CorrectionIn) -> CallStoryOut:
    """Replace what was assumed of an unconfirmed call, once, in every budget and report."""
    request.auth.require(corrections.CORRECT_PERMISSION)
    call = find(_visible(request), pk=call_id)
    correction = corrections.Correction(
        answered=body.answered,
        reason=body.reason,
        input_tokens=body.input_tokens,
        output_tokens=body.output_tokens,
        cost=body.cost,
    )
    corrections.correct(call.pk, correction, now=timezone.now())
    return CallStoryOut.of(find(_visible(request), pk=call_id))


def _visible(request: ActorRequest) -> QuerySet[ModelCall]:
    rows = ModelCall.objects.select_related("team", "api_key", "user")
    return rows.filter(request.auth.within(SEEING))
