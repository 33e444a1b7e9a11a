"""Alerts in the JSON API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from governance.alerts import handling
from governance.api.conventions import ActorRequest
from governance.models import (
    Alert,
    AlertKind,
)
from providers.api.conventions import Input, Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()
VIEW = "governance.view_alert"
NO_ALERT = refusals({404: "There is no such alert that you may see."})


class AlertQuery(PageQuery):
    """Which alerts."""

    kind: AlertKind | None = None
    open: bool | None = Field(None, description="Only open ones, or only resolved ones.")


class AlertOut(Schema):
    """Something somebody should know."""

    id: str
    kind: str
    severity: str
    team: str | None
    title: str
    explanation: str
    detail: dict[str, Any]
    first_seen_at: Moment
    last_seen_at: Moment
    count: int
    acknowledged_by: str | None
    acknowledged_at: Moment | None
    muted_until: Moment | None
    resolved_at: Moment | None

    @classmethod
    def of(cls, alert: Alert) -> AlertOut:
        shown = {name: getattr(alert, name) for name in cls.model_fields}
        by = alert.acknowledged_by
        shown |= {
            "id": str(alert.pk),
            "team": alert.team.slug if alert.team else None,
            "acknowledged_by": by.get_username() if by else None,
        }
        return cls(**shown)


class MuteIn(Input):
    """Until when nothing is sent."""

    until: Moment


@router.get("/alerts", response=Page[AlertOut], operation_id="list_alerts", summary="List alerts")
def list_alerts(request: ActorRequest, page: Query[AlertQuery]) -> Page[AlertOut]:
    """Those of your teams, newest first; with `governance.view_alert`, everyone's."""
    rows = Alert.objects.select_related("team", "acknowledged_by")
    rows = rows.filter(request.auth.within(VIEW))
    if page.kind is not None:
        rows = rows.filter(kind=page.kind)
    if page.open is not None:
        rows = rows.filter(resolved_at__isnull=page.open)
    shown, following = read_page(rows, page, by="-first_seen_at")
    return Page[AlertOut](items=[AlertOut.of(row) for row in shown], next_cursor=following)


@router.post(
    "/alerts/{uuid:alert_id}/acknowledge",
    response=AlertOut,
    operation_id="acknowledge_alert",
    summary="Acknowledge an alert",
    openapi_extra=NO_ALERT,
)
def acknowledge_alert(request: ActorRequest, alert_id: UUID) -> AlertOut:
    """Say that you look after it. Needs `governance.acknowledge_alert`."""
    alert = _alert(request, alert_id)
    person = request.auth.require_person("Acknowledging an alert")
    handling.acknowledge(alert, person, timezone.now())
    return AlertOut.of(_alert(request, alert_id))


@router.post(
    "/alerts/{uuid:alert_id}/mute",
    response=AlertOut,
    operation_id="mute_alert",
    summary="Mute an alert",
    openapi_extra=NO_ALERT,
)
def mute_alert(request: ActorRequest, alert_id: UUID, body: MuteIn) -> AlertOut:
    """Send nothing of it until then. Needs `governance.acknowledge_alert`."""
    handling.mute(_alert(request, alert_id), body.until, timezone.now())
    return AlertOut.of(_alert(request, alert_id))


@router.post(
    "/alerts/{uuid:alert_id}/resolve",
    response=AlertOut,
    operation_id="resolve_alert",
    summary="Resolve an alert",
    openapi_extra=NO_ALERT,
)
def resolve_alert(request: ActorRequest, alert_id: UUID) -> AlertOut:
    """Close it until it is true anew. Needs `governance.acknowledge_alert`."""
    handling.resolve(_alert(request, alert_id), timezone.now())
    return AlertOut.of(_alert(request, alert_id))


def _alert(request: ActorRequest, alert_id: UUID) -> Alert:
    request.auth.require(handling.ACKNOWLEDGE_PERMISSION)
    return find(Alert.objects.select_related("team", "acknowledged_by"), pk=alert_id)
