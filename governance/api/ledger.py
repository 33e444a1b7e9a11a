"""Calls and what they used, in the JSON API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, StrictBool

from governance import corrections, usage
from governance.api.conventions import ActorRequest, Dollars
from governance.api.ledger_schemas import CallOut, CallStoryOut
from governance.models import CallStatus, KeptCall, ModelCall, Team
from governance.money import decimal_text
from governance.zones import validate_zone
from providers.api.conventions import Input, Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()

SEEING = "governance.view_modelcall"
USUAL_PERIOD = timedelta(days=30)
LONGEST_PERIOD = timedelta(days=366)
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


class PeriodQuery(Schema):
    """Whose usage, and when."""

    team: str | None = Field(None, description="A team's slug.")
    since: Moment | None = Field(None, description="30 days before `until`, if left out.")
    until: Moment | None = Field(None, description="Now, if left out. It is not included.")


class DaysQuery(PeriodQuery):
    """Whose usage, when, and whose days."""

    zone: str = Field("UTC", description="The IANA zone whose days are meant.")


class UsageSummaryOut(Schema):
    """What calls begun in a period used. `unpriced` calls are not in the cost."""

    since: Moment
    until: Moment
    calls: int
    succeeded: int
    failed: int
    blocked: int
    unconfirmed: int
    in_flight: int
    unpriced: int
    cached: int = Field(description="Answered from what was kept of a call just before, free.")
    input_tokens: int
    output_tokens: int
    cost: str


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


class DayOut(Schema):
    """One team's calls of one day."""

    day: date
    team: str = Field(description="The team's name.")
    calls: int
    cost: str


class DayList(Schema):
    """The days with calls, in order."""

    since: Moment
    until: Moment
    zone: str
    items: list[DayOut]


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
    openapi_extra=refusals({404: "There is no such call, or it was not kept."}),
)
def get_kept_answer(request: ActorRequest, call_id: UUID) -> KeptAnswerOut:
    """A call that needed approval and was asked for with `Prefer: respond-async`. Its answer is
    kept for a day."""
    call = find(_visible(request), pk=call_id)
    kept = find(KeptCall.objects.all(), pk=call.pk)
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


@router.get(
    "/usage/summary",
    response=UsageSummaryOut,
    operation_id="summarise_usage",
    summary="Sum up what was used",
    openapi_extra=NO_TEAM,
)
def summarise_usage(request: ActorRequest, query: Query[PeriodQuery]) -> UsageSummaryOut:
    """One team's calls in a period; everyone's with `governance.view_modelcall` and no team."""
    since, until = _period(query)
    found = asdict(usage.summary(since=since, until=until, team=_team(request, query.team)))
    found["cost"] = decimal_text(found["cost"])
    return UsageSummaryOut(since=since, until=until, **found)


@router.get(
    "/usage/by-day",
    response=DayList,
    operation_id="list_usage_by_day",
    summary="Sum up what was used each day",
    openapi_extra=NO_TEAM,
)
def list_usage_by_day(request: ActorRequest, query: Query[DaysQuery]) -> DayList:
    """One team's days in a period of at most 366; every team's with `governance.view_modelcall`
    and no team."""
    since, until = _period(query)
    _check_days(query.zone, until - since)
    days = usage.by_day(since=since, until=until, zone=query.zone, team=_team(request, query.team))
    items = [
        DayOut(day=one.day, team=one.team, calls=one.calls, cost=decimal_text(one.cost))
        for one in days
    ]
    return DayList(since=since, until=until, zone=query.zone, items=items)


def _period(query: PeriodQuery) -> tuple[datetime, datetime]:
    until = query.until or timezone.now()
    try:
        since = query.since or until - USUAL_PERIOD
    except OverflowError:
        since = until
    if since >= until:
        raise ValidationError({"since": "The period must begin before it ends."})
    return since, until


def _check_days(zone: str, length: timedelta) -> None:
    faults: dict[str, list[str]] = {}
    try:
        validate_zone(zone)
    except ValidationError as error:
        faults["zone"] = error.messages
    if length > LONGEST_PERIOD:
        faults["since"] = [f"Ask for {LONGEST_PERIOD.days} days at most."]
    if faults:
        raise ValidationError(faults)


def _team(request: ActorRequest, slug: str | None) -> Team | None:
    """The team meant; None for everyone together."""
    if slug is None and request.auth.may(SEEING):
        return None
    return request.auth.team(slug, SEEING)
