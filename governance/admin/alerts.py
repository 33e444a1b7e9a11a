"""Alerts in the console: looked after, muted and resolved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from governance.admin.alert_subjects import alert_subject
from governance.alerts import handling
from governance.display import severity_badge
from governance.models import (
    Alert,
)
from providers.admin.actions import object_action
from providers.admin.base import ReadOnlyAdmin
from providers.display import (
    NOTHING,
    badge,
    moment,
    moment_text,
    muted,
    two_lines,
)


class MuteForm(forms.Form):
    """How long nothing is sent."""

    hours = forms.IntegerField(min_value=1, max_value=24 * 365, initial=24, label="Hours")


def _is_open(alert: Alert) -> bool:
    return alert.resolved_at is None


def _is_muted(alert: Alert) -> bool:
    return alert.muted_until is not None and alert.muted_until > timezone.now()


class AlertStateFilter(admin.SimpleListFilter):
    """By what has been done about them."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (
            ("unhandled", "Open, nobody looks after it"),
            ("open", "Open"),
            ("muted", "Muted"),
            ("resolved", "Resolved"),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        chosen = {
            "unhandled": Q(resolved_at=None, acknowledged_at=None),
            "open": Q(resolved_at=None),
            "muted": Q(resolved_at=None, muted_until__gt=timezone.now()),
            "resolved": Q(resolved_at__isnull=False),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """What somebody should know, what was seen last first."""

    list_display = ("title", "grade", "kind", "team", "state", "first", "last", "amount_seen")
    list_filter = (AlertStateFilter, "kind", "severity", "team")
    search_fields = ("title", "explanation")
    search_help_text = "Words of the alert"
    list_select_related = ("team", "acknowledged_by")
    empty_text = "Nothing to report. What needs a look appears here by itself."
    empty_action = ("admin:governance_channel_changelist", "See where alerts are sent")
    object_actions = ("acknowledge", "mute", "unmute", "resolve")
    actions: Any = ("acknowledge_selected", "resolve_selected")
    readonly_fields = (
        *list_display,
        "explanation",
        "about",
        "handled_by",
        "silent_until",
    )
    fields = readonly_fields

    def has_acknowledge_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        return request.user.has_perm(handling.ACKNOWLEDGE_PERMISSION)

    @object_action(
        label="Acknowledge",
        permission="acknowledge",
        icon="check",
        applies=lambda alert: _is_open(alert) and alert.acknowledged_at is None,
    )
    def acknowledge(self, request: HttpRequest, alert: Alert, data: dict[str, Any]) -> str:
        handling.acknowledge(alert, cast(User, request.user), timezone.now())
        return "Acknowledged: you look after it."

    @object_action(
        label="Mute",
        permission="acknowledge",
        icon="notifications_off",
        consequence="Nothing of it is sent until then, even if it ends and comes back.",
        form_class=MuteForm,
        applies=_is_open,
    )
    def mute(self, request: HttpRequest, alert: Alert, data: dict[str, Any]) -> str:
        now = timezone.now()
        until = now + timedelta(hours=data["hours"])
        handling.mute(alert, until, now)
        return f"Muted until {moment_text(until)}."

    @object_action(
        label="Unmute", permission="acknowledge", icon="notifications", applies=_is_muted
    )
    def unmute(self, request: HttpRequest, alert: Alert, data: dict[str, Any]) -> str:
        handling.unmute(alert)
        return "Unmuted: what comes of it is sent again."

    @object_action(
        label="Resolve",
        permission="acknowledge",
        icon="done_all",
        consequence="It is closed, and raised again only if it becomes true anew.",
        applies=_is_open,
    )
    def resolve(self, request: HttpRequest, alert: Alert, data: dict[str, Any]) -> str:
        handling.resolve(alert, timezone.now())
        return "Resolved."

    @admin.action(description="Acknowledge the selected alerts", permissions=["acknowledge"])
    def acknowledge_selected(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        new = list(chosen.filter(resolved_at=None, acknowledged_at=None))
        for alert in new:
            handling.acknowledge(alert, cast(User, request.user), timezone.now())
        _tell_count(request, "acknowledged", len(new), chosen.count())

    @admin.action(description="Resolve the selected alerts", permissions=["acknowledge"])
    def resolve_selected(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        total = chosen.count()
        still_open = list(chosen.filter(resolved_at=None))
        for alert in still_open:
            handling.resolve(alert, timezone.now())
        _tell_count(request, "resolved", len(still_open), total)

    @admin.display(description="about")
    def about(self, alert: Alert) -> str:
        return alert_subject(alert) or NOTHING

    @admin.display(description="acknowledged by")
    def handled_by(self, alert: Alert) -> str:
        if alert.acknowledged_at is None:
            return "Nobody yet"
        by = alert.acknowledged_by or "somebody since deleted"
        return two_lines(by, moment(alert.acknowledged_at))

    @admin.display(description="muted until")
    def silent_until(self, alert: Alert) -> str:
        return moment(alert.muted_until)

    @admin.display(description="severity", ordering="severity")
    def grade(self, alert: Alert) -> str:
        return severity_badge(alert)

    @admin.display(description="state")
    def state(self, alert: Alert) -> str:
        if not _is_open(alert):
            return badge("Resolved", "good")
        shown = badge("Acknowledged", "busy") if alert.acknowledged_at else badge("Open", "warning")
        if _is_muted(alert) and alert.muted_until is not None:
            return two_lines(shown, muted(f"muted until {moment_text(alert.muted_until)}"))
        return shown

    @admin.display(description="first seen", ordering="first_seen_at")
    def first(self, alert: Alert) -> str:
        return moment(alert.first_seen_at)

    @admin.display(description="last seen", ordering="last_seen_at")
    def last(self, alert: Alert) -> str:
        return moment(alert.last_seen_at)

    @admin.display(description="times seen", ordering="count")
    def amount_seen(self, alert: Alert) -> str:
        return str(alert.count)


def _tell_count(request: HttpRequest, done: str, changed: int, total: int) -> None:
    said = f"{changed} {'alert is' if changed == 1 else 'alerts are'} {done} now"
    others = total - changed
    if others:
        said += f"; {others} {'was' if others == 1 else 'were'} already"
    messages.success(request, f"{said}.")
