"""Calendars in the JSON API: days on which scheduled prompts do not run."""

from __future__ import annotations

from datetime import date

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool

from governance.api.conventions import ActorRequest
from providers.api.conventions import KEPT, Change, Input, Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page
from scheduling import calendars
from scheduling.models import ExclusionCalendar

router = Router()

SEEING = "scheduling.view_exclusioncalendar"
ADDING = "scheduling.add_exclusioncalendar"
CHANGING = "scheduling.change_exclusioncalendar"
DELETING = "scheduling.delete_exclusioncalendar"
NO_TEAM = refusals({404: "There is no such team, or you do not act for it."})
NO_CALENDAR = refusals({404: "There is no calendar of that identifier that you may see."})
DATES = "Days such as 2026-12-25, each in the zone of the job that goes by it."


class CalendarIn(Input):
    """A new calendar."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    for_everyone: StrictBool = Field(
        False, description="Every team may go by it; takes a permission, and no team."
    )
    name: str
    dates: list[str] = Field(default_factory=list, description=DATES)


class CalendarChange(Change):
    """What to change of a calendar."""

    name: str = KEPT
    dates: list[str] = Field(KEPT, description=DATES)


class CalendarOut(Schema):
    """Days on which the scheduled prompts that go by them do not run."""

    id: str
    team: str | None = Field(description="Whose it is; null if every team may go by it.")
    name: str
    dates: list[date]
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, calendar: ExclusionCalendar) -> CalendarOut:
        return cls(
            id=str(calendar.pk),
            team=calendar.team.slug if calendar.team else None,
            name=calendar.name,
            dates=sorted(calendar.days),
            created_at=calendar.created_at,
            updated_at=calendar.updated_at,
        )


@router.get(
    "/calendars",
    response=Page[CalendarOut],
    operation_id="list_calendars",
    summary="List calendars",
)
def list_calendars(request: ActorRequest, page: Query[PageQuery]) -> Page[CalendarOut]:
    """Those of your teams and those for everyone, by name; with
    `scheduling.view_exclusioncalendar`, every team's."""
    rows, following = read_page(_visible(request), page, by="name")
    return Page[CalendarOut](items=[CalendarOut.of(row) for row in rows], next_cursor=following)


@router.post(
    "/calendars",
    response={201: CalendarOut},
    operation_id="add_calendar",
    summary="Add a calendar",
    openapi_extra=NO_TEAM,
)
def add_calendar(request: ActorRequest, body: CalendarIn) -> Status[CalendarOut]:
    """One for everyone takes `scheduling.add_exclusioncalendar`."""
    if body.for_everyone:
        request.auth.require(ADDING)
        if body.team is not None:
            raise ValidationError({"team": "One for everyone has no team: leave it out."})
    team = None if body.for_everyone else request.auth.team(body.team, ADDING)
    made = calendars.create(team=team, name=body.name, dates=body.dates)
    return Status(201, CalendarOut.of(made))


@router.get(
    "/calendars/{int:calendar_id}",
    response=CalendarOut,
    operation_id="get_calendar",
    summary="Show a calendar",
    openapi_extra=NO_CALENDAR,
)
def get_calendar(request: ActorRequest, calendar_id: int) -> CalendarOut:
    """One of your teams, or one for everyone."""
    return CalendarOut.of(find(_visible(request), pk=calendar_id))


@router.patch(
    "/calendars/{int:calendar_id}",
    response=CalendarOut,
    operation_id="change_calendar",
    summary="Change a calendar",
    openapi_extra=NO_CALENDAR,
)
def change_calendar(request: ActorRequest, calendar_id: int, body: CalendarChange) -> CalendarOut:
    """What goes by it has its next times by the new days."""
    calendar = _own(request, calendar_id, CHANGING)
    return CalendarOut.of(calendars.change(calendar, now=timezone.now(), **body.given()))


@router.delete(
    "/calendars/{int:calendar_id}",
    response={204: None},
    operation_id="delete_calendar",
    summary="Delete a calendar",
    openapi_extra=NO_CALENDAR,
)
def delete_calendar(request: ActorRequest, calendar_id: int) -> Status[None]:
    """Only one that no scheduled prompt goes by."""
    calendars.delete(_own(request, calendar_id, DELETING))
    return Status(204, None)


def _visible(request: ActorRequest) -> QuerySet[ExclusionCalendar]:
    rows = ExclusionCalendar.objects.select_related("team")
    return rows.filter(Q(team__isnull=True) | request.auth.within(SEEING))


def _own(request: ActorRequest, calendar_id: int, permission: str) -> ExclusionCalendar:
    """The calendar, if it may be seen; raises `PermissionDenied` if it may only be seen."""
    calendar = find(_visible(request), pk=calendar_id)
    if calendar.team_id is None:
        request.auth.require(permission)
    else:
        request.auth.require_in(calendar.team_id, permission)
    return calendar
