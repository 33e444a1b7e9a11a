"""The sidebar, and what the header warns of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from governance.models import Alert, Approval, ApprovalStatus
from palyra_site.console.permissions import (
    may_open_playground,
    may_view,
    may_view_calls,
    may_view_processes,
)
from scheduling.models import CronRun

Permitted = Callable[[HttpRequest], bool]
# Group by group: an entry's title, its icon and the model whose list it opens.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Use",
        (
            ("Calls", "forum", "governance.modelcall"),
            ("Scheduled prompts", "schedule", "scheduling.cronjob"),
            ("Runs", "play_circle", "scheduling.cronrun"),
            ("Calendars", "event_busy", "scheduling.exclusioncalendar"),
        ),
    ),
    (
        "Budgets",
        (
            ("Policies", "speed", "governance.budgetpolicy"),
            ("Windows", "hourglass_top", "governance.budgetwindow"),
            ("Approvals", "approval", "governance.approval"),
        ),
    ),
    ("Routing", ()),
    (
        "Alerts",
        (
            ("Alerts", "notifications", "governance.alert"),
            ("Channels", "send", "governance.channel"),
            ("Deliveries", "outbox", "governance.delivery"),
        ),
    ),
    (
        "Providers",
        (
            ("Providers", "hub", "providers.provider"),
            ("Models", "neurology", "providers.providermodel"),
            ("Prices", "sell", "governance.price"),
            ("Secrets", "lock", "providers.secret"),
            ("Failover", "alt_route", "providers.failoverpolicy"),
        ),
    ),
    (
        "Access",
        (
            ("Teams", "groups", "governance.team"),
            ("API keys", "key", "governance.apikey"),
            ("Users", "person", "auth.user"),
            ("Groups", "shield_person", "auth.group"),
        ),
    ),
    (
        "System",
        (
            ("Processes", "memory", "governance.processheartbeat"),
            ("Maintenance", "build", "scheduling.maintenancejob"),
            ("Audit trail", "history", "governance.auditentry"),
            ("Settings", "tune", "governance.governancesettings"),
        ),
    ),
)


# The pages that are no lists, before those of their group: title, icon, address, who may open it.
PAGES: dict[str, tuple[tuple[str, str, str, Permitted], ...]] = {
    "Use": (
        ("Playground", "science", "admin:playground", may_open_playground),
        ("Spend", "payments", "admin:spend", may_view_calls),
    ),
    "Routing": (
        ("Decisions", "route", "admin:governance_routing_decisions", may_view_calls),
        ("Modes", "alt_route", "admin:governance_routing_mode", may_view_calls),
        ("Savings", "savings", "admin:governance_routing_savings", may_view_calls),
    ),
    "System": (("System status", "monitor_heart", "admin:system", may_view_processes),),
}


def entries(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the sidebar with the entries this person may open."""
    overview = {"title": "Overview", "icon": "monitoring", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [overview]}]
    for title, lists in GROUPS:
        items = [
            {"title": name, "icon": icon, "link": reverse(address)}
            for name, icon, address, permitted in PAGES.get(title, ())
            if permitted(request)
        ]
        items += [_entry(request, *one) for one in lists if may_view(one[2])(request)]
        if items:
            groups.append({"title": title, "items": items})
    return groups


def _entry(request: HttpRequest, title: str, icon: str, model: str) -> dict[str, Any]:
    link = reverse(f"admin:{model.replace('.', '_')}_changelist")
    entry = {"title": title, "icon": icon, "link": link}
    waiting = WAITING[model]() if model in WAITING else 0
    return {**entry, "badge": str(waiting), "badge_variant": "warning"} if waiting else entry


def _approvals_waiting() -> int:
    return Approval.objects.filter(status=ApprovalStatus.PENDING).count()


def _open_alerts() -> int:
    return Alert.objects.filter(resolved_at=None, acknowledged_at=None).count()


def _to_review() -> int:
    return CronRun.objects.filter(needs_review=True).order_by().values("job").distinct().count()


# What an entry's badge counts, by the model of its list.
WAITING = {
    "governance.approval": _approvals_waiting,
    "governance.alert": _open_alerts,
    "scheduling.cronjob": _to_review,
}


def environment(_request: HttpRequest) -> list[str] | None:
    """A label in the header where errors are shown with their source: nowhere for real use."""
    return ["Debugging", "danger"] if settings.DEBUG else None
