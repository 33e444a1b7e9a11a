"""What was used, in the JSON API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.utils import timezone
from ninja import Query, Router

from governance import usage
from governance.api.conventions import ActorRequest
from governance.api.usage_queries import (
    SEEING,
    BreakdownQuery,
    DaysQuery,
    ExportQuery,
    ForecastQuery,
    LatencyQuery,
    SavingsQuery,
    SeriesQuery,
    SessionQuery,
    UsageQuery,
    check_zone,
    fitting,
    period,
    team_of,
    where,
)
from governance.api.usage_schemas import (
    BreakdownOut,
    DayList,
    DayOut,
    ForecastOut,
    LatencyList,
    LatencyOut,
    MixOut,
    SavingsList,
    SeriesOut,
    SessionOut,
    StepOut,
    TeamSavingsOut,
    TotalsOut,
    UsageSummaryOut,
    parts_out,
)
from governance.models import Team, UsageSession
from governance.money import decimal_text
from governance.usage import forecast
from governance.usage.export import csv_lines, json_lines
from governance.usage.forecast import WindowForecast
from governance.usage.frames import last_month, outwards
from governance.usage.latency import latencies
from governance.usage.reports import together
from governance.zones import zone as zone_of
from providers.api.conventions import refusals
from providers.api.pages import Page, read_page

router = Router()

SEEING_BUDGETS = "governance.view_budgetwindow"
NO_TEAM = refusals({404: "There is no such team, or you do not act for it."})
IN_A_MIX = 10
SCOPES = ("team", "person", "key", "job", "provider")


@router.get(
    "/usage/summary",
    response=UsageSummaryOut,
    operation_id="summarise_usage",
    summary="Sum up what was used",
    openapi_extra=NO_TEAM,
)
def summarise_usage(request: ActorRequest, query: Query[UsageQuery]) -> UsageSummaryOut:
    """One team's calls in a period; everyone's with `governance.view_modelcall` and no team."""
    since, until = period(query.since, query.until)
    team = team_of(request, query.team)
    found = usage.summary(since=since, until=until, team=team, where=where(query))
    return UsageSummaryOut(
        since=since, until=until, in_flight=found.in_flight, **TotalsOut.values(found)
    )


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
    since, until = period(query.since, query.until)
    check_zone(query.zone, until - since)
    team = team_of(request, query.team)
    with fitting():
        days = usage.by_day(since=since, until=until, zone=query.zone, team=team)
    items = [
        DayOut(day=one.day, team=one.team, calls=one.calls, cost=decimal_text(one.cost))
        for one in days
    ]
    return DayList(since=since, until=until, zone=query.zone, items=items)


@router.get(
    "/usage/series",
    response=SeriesOut,
    operation_id="list_usage_series",
    summary="Sum up what was used over time",
    openapi_extra=NO_TEAM,
)
def list_usage_series(request: ActorRequest, query: Query[SeriesQuery]) -> SeriesOut:
    """By hour, day, week or month, and in each by one thing more, with its share of the step: the
    20 dearest are named, all others are one. Of a step that a period cuts, the part within counts.
    """
    since, until = period(query.since, query.until)
    check_zone(query.zone)
    team = team_of(request, query.team)
    with fitting():
        steps = usage.series(
            step=query.step,
            since=since,
            until=until,
            zone=zone_of(query.zone),
            by=query.by,
            team=team,
            where=where(query),
        )
    of_step = defaultdict(list)
    for one in steps:
        of_step[one.since].append(one.totals)
    whole = {moment: together(parts) for moment, parts in of_step.items()}
    items = [StepOut.step(one, whole[one.since]) for one in steps]
    return SeriesOut(step=query.step, zone=query.zone, by=query.by, items=items)


@router.get(
    "/usage/breakdown",
    response=BreakdownOut,
    operation_id="break_usage_down",
    summary="Break down what was used",
    openapi_extra=NO_TEAM,
)
def break_usage_down(request: ActorRequest, query: Query[BreakdownQuery]) -> BreakdownOut:
    """By team, key, person, job, provider, model, task class or routing mode, the dearest first."""
    since, until = period(query.since, query.until)
    found = usage.breakdown(
        by=query.by,
        since=since,
        until=until,
        team=team_of(request, query.team),
        where=where(query),
        most=query.limit,
    )
    return BreakdownOut(
        since=since,
        until=until,
        by=query.by,
        items=parts_out(found.parts, found.whole),
        rest=TotalsOut.of(found.rest),
        total=TotalsOut.of(found.whole),
    )


@router.get(
    "/usage/mix",
    response=MixOut,
    operation_id="get_usage_mix",
    summary="Show the mix of models and scopes",
    openapi_extra=NO_TEAM,
)
def get_usage_mix(request: ActorRequest, query: Query[UsageQuery]) -> MixOut:
    """Each model's share of a period's calls and cost, and the shares of each scope's values; the
    ten dearest of each."""
    since, until = period(query.since, query.until)
    team, wanted = team_of(request, query.team), where(query)
    mixes = {}
    for by in ("model", *SCOPES):
        found = usage.breakdown(
            by=by, since=since, until=until, team=team, where=wanted, most=IN_A_MIX
        )
        mixes[by] = parts_out(found.parts, found.whole)
    return MixOut(since=since, until=until, models=mixes.pop("model"), scopes=mixes)


@router.get(
    "/usage/sessions",
    response=Page[SessionOut],
    operation_id="list_usage_sessions",
    summary="List sessions and what they used",
    openapi_extra=NO_TEAM,
)
def list_usage_sessions(request: ActorRequest, page: Query[SessionQuery]) -> Page[SessionOut]:
    """Sessions of your teams, the latest first, each with all of its calls; everyone's with
    `governance.view_modelcall`."""
    teams = request.auth.teams(SEEING)
    rows = UsageSession.objects.all()
    if page.team is not None:
        rows = rows.filter(team_id=request.auth.team(page.team, SEEING).pk)
    elif not request.auth.may(SEEING):
        rows = rows.filter(team_id__in=teams.order_by().values("pk"))
    wanted = {"last_at__gte": page.since, "last_at__lt": page.until}
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    shown, following = read_page(rows, page, by="-last_at")
    ids = {row.team_id for row in shown}
    slugs = dict(Team.objects.filter(pk__in=ids).order_by().values_list("pk", "slug"))
    items = [SessionOut.session_of(row, slugs.get(row.team_id, "")) for row in shown]
    return Page[SessionOut](items=items, next_cursor=following)


@router.get(
    "/usage/latency",
    response=LatencyList,
    operation_id="list_usage_latency",
    summary="Show how long calls took and how they failed",
    openapi_extra=NO_TEAM,
)
def list_usage_latency(request: ActorRequest, query: Query[LatencyQuery]) -> LatencyList:
    """By team, provider or model, those with the most calls first: quantiles of the answers and
    failures by class, for the whole hours of UTC that have the period in them."""
    since, until = period(query.since, query.until)
    wanted = {"provider": query.provider, "model": query.model}
    with fitting():
        since, until = outwards(since, until)
    found = latencies(
        by=query.by,
        since=since,
        until=until,
        team=team_of(request, query.team),
        where={name: value for name, value in wanted.items() if value is not None},
    )
    items = [LatencyOut.of(one) for one in found]
    return LatencyList(since=since, until=until, by=query.by, items=items)


@router.get(
    "/usage/forecast",
    response=ForecastOut,
    operation_id="forecast_usage",
    summary="Forecast what a month and budgets come to",
    openapi_extra=NO_TEAM,
)
def forecast_usage(request: ActorRequest, query: Query[ForecastQuery]) -> ForecastOut:
    """At the pace since their beginning. Without a team, everyone's spend is shown with
    `governance.view_modelcall`; windows of other teams than yours, and of everyone, with
    `governance.view_budgetwindow`."""
    check_zone(query.zone)
    team, now = team_of(request, query.team), timezone.now()
    spend = forecast.spend(now=now, zone=zone_of(query.zone), team=team)
    return ForecastOut.of(spend, _windows(request, team, now), query.zone)


def _windows(request: ActorRequest, team: Team | None, now: datetime) -> list[WindowForecast]:
    """Those that `/budgets` shows them; spend and windows are each seen by a permission."""
    actor = request.auth
    if team is None:
        return forecast.windows(now=now) if actor.may(SEEING_BUDGETS) else []
    if not actor.teams(SEEING_BUDGETS).filter(pk=team.pk).exists():
        return []
    person_id = actor.person.pk if actor.person else None
    return forecast.windows(now=now, team=team, person_id=person_id)


@router.get(
    "/usage/savings",
    response=SavingsList,
    operation_id="list_usage_savings",
    summary="Show what routing saved, or would have",
    openapi_extra=NO_TEAM,
)
def list_usage_savings(request: ActorRequest, query: Query[SavingsQuery]) -> SavingsList:
    """What enforcing would have saved last month, by team, where it is only rehearsed (dry_run);
    and what it saved where it is enforced."""
    check_zone(query.zone)
    since, until = last_month(timezone.now(), zone_of(query.zone))
    if query.since is not None or query.until is not None:
        since, until = period(query.since, query.until)
    found = usage.savings(since=since, until=until, team=team_of(request, query.team))
    items = [TeamSavingsOut.of(one) for one in found]
    return SavingsList(since=since, until=until, items=items)


@router.get(
    "/usage/export",
    operation_id="export_usage",
    summary="Export calls as CSV or JSON Lines",
    openapi_extra={
        "responses": {
            200: {
                "description": "The calls, oldest first.",
                "content": {
                    "text/csv": {"schema": {"type": "string"}},
                    "application/x-ndjson": {"schema": {"type": "string"}},
                },
            },
            **NO_TEAM["responses"],
        }
    },
)
def export_usage(request: ActorRequest, query: Query[ExportQuery]) -> StreamingHttpResponse:
    """Every call of a period, streamed. Texts that a spreadsheet would take for a formula begin
    with an apostrophe in CSV. Everyone's with `governance.view_modelcall` and no team."""
    since, until = period(query.since, query.until)
    team = team_of(request, query.team)
    wanted = {**where(query), **({"team_id": team.pk} if team else {})}
    lines = csv_lines if query.format == "csv" else json_lines
    chunks = lines(since=since, until=until, where=wanted)
    name = f"palyra-calls-{since:%Y%m%d}-{until:%Y%m%d}.{query.format}"
    return StreamingHttpResponse(
        # Served asynchronously, Django would first gather a plain iterator whole.
        _one_by_one(chunks) if isinstance(request, ASGIRequest) else chunks,
        content_type="text/csv; charset=utf-8"
        if query.format == "csv"
        else "application/x-ndjson; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _one_by_one(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(chunks, None)

    while (chunk := await sync_to_async(following)()) is not None:
        yield chunk
