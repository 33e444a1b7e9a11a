"""What a report of the JSON API may be asked for, and how that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from ninja import Schema
from pydantic import Field

from governance.api.conventions import ActorRequest
from governance.models import ApiKey, RoutingMode, TaskClass, Team
from governance.usage.frames import MOST_STEPS, TooManySteps
from governance.zones import validate_zone
from providers.api.conventions import Moment
from providers.api.pages import PageQuery

SEEING = "governance.view_modelcall"
USUAL_PERIOD = timedelta(days=30)
LONGEST_PERIOD = timedelta(days=366)
MOST_PARTS = 200
NOBODY = -1

Dimension = Literal[
    "team", "key", "person", "job", "provider", "model", "task_class", "routing_mode"
]


class PeriodQuery(Schema):
    """Whose usage, and when."""

    team: str | None = Field(None, description="A team's slug.")
    since: Moment | None = Field(None, description="30 days before `until`, if left out.")
    until: Moment | None = Field(None, description="Now, if left out. It is not included.")


class DaysQuery(PeriodQuery):
    """Whose usage, when, and whose days."""

    zone: str = Field("UTC", description="The IANA zone whose days are meant.")


class UsageQuery(PeriodQuery):
    """Whose usage, when, and of what."""

    key_id: str | None = Field(None, description="The public part of a key.")
    person: str | None = Field(None, description="Somebody's user name.")
    job_id: UUID | None = None
    provider: str | None = None
    model: str | None = Field(None, description="The name of the model that answered.")
    task_class: TaskClass | None = None
    routing_mode: RoutingMode | None = None


class BreakdownQuery(UsageQuery):
    """What to break down by."""

    by: Dimension
    limit: int = Field(50, ge=1, le=MOST_PARTS, description="How many parts to name at most.")


class SeriesQuery(UsageQuery):
    """How to part time."""

    step: Literal["hour", "day", "week", "month"] = "day"
    zone: str = Field("UTC", description="The IANA zone whose days, weeks and months are meant.")
    by: Dimension | None = Field(None, description="Break each step down by this.")


class LatencyQuery(PeriodQuery):
    """Whose calls, when, and by what."""

    by: Literal["team", "provider", "model"] = "model"
    provider: str | None = None
    model: str | None = None


class ForecastQuery(Schema):
    """Whose month."""

    team: str | None = Field(None, description="A team's slug.")
    zone: str = Field("UTC", description="The IANA zone whose month is meant.")


class SavingsQuery(Schema):
    """Whose savings, and when: last month, unless said otherwise."""

    team: str | None = Field(None, description="A team's slug.")
    zone: str = Field("UTC", description="The IANA zone whose last month is meant.")
    since: Moment | None = Field(None, description="Last month's beginning, if both are left out.")
    until: Moment | None = Field(None, description="Last month's end, if both are left out.")


class ExportQuery(UsageQuery):
    """Which calls, and how they are written."""

    format: Literal["csv", "jsonl"] = "csv"


class SessionQuery(PageQuery):
    """Which sessions."""

    team: str | None = Field(None, description="A team's slug.")
    since: Moment | None = Field(None, description="With a call at this moment or later.")
    until: Moment | None = Field(None, description="Whose last call was before this moment.")


def period(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    until = until or timezone.now()
    try:
        since = since or until - USUAL_PERIOD
    except OverflowError:
        since = until
    if since >= until:
        raise ValidationError({"since": "The period must begin before it ends."})
    return since, until


def where(query: UsageQuery) -> dict[str, Any]:
    """The columns that are asked for. What names nobody has no calls, whether or not there is
    somebody of that name elsewhere; an empty name asks for the calls without one."""
    named = {"provider": query.provider, "model": query.model}
    wanted: dict[str, Any] = {name: text for name, text in named.items() if text is not None}
    if query.key_id is not None:
        wanted["api_key_id"] = _number(ApiKey.objects.filter(public_id=query.key_id), query.key_id)
    if query.person is not None:
        wanted["user_id"] = _number(User.objects.filter(username=query.person), query.person)
    if query.job_id is not None:
        wanted["job"] = str(query.job_id)
    if query.task_class is not None:
        wanted["task_class"] = query.task_class.value
    if query.routing_mode is not None:
        wanted["routing_mode"] = query.routing_mode.value
    return wanted


def _number(rows: QuerySet[Any], name: str) -> int:
    found: int | None = rows.order_by().values_list("pk", flat=True).first() if name else 0
    return NOBODY if found is None else found


def check_zone(zone: str, length: timedelta = LONGEST_PERIOD) -> None:
    faults: dict[str, list[str]] = {}
    try:
        validate_zone(zone)
    except ValidationError as error:
        faults["zone"] = error.messages
    if length > LONGEST_PERIOD:
        faults["since"] = [f"Ask for {LONGEST_PERIOD.days} days at most."]
    if faults:
        raise ValidationError(faults)


@contextmanager
def fitting() -> Iterator[None]:
    """Refuse in words a period that cannot be parted or that the calendar does not have."""
    try:
        yield
    except TooManySteps:
        raise ValidationError(
            {"since": f"Ask for {MOST_STEPS} steps at most: a shorter period, or longer steps."}
        ) from None
    except (OverflowError, ValueError):
        raise ValidationError({"since": "The period is too far away."}) from None


def team_of(request: ActorRequest, slug: str | None) -> Team | None:
    """The team meant; None for everyone together."""
    if slug is None and request.auth.may(SEEING):
        return None
    return request.auth.team(slug, SEEING)
