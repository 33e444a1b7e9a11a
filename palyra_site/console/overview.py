"""The console's first page: what is spent, what is short, what is broken and what comes next.

Each part is shown to those who may see the list it leads to, and read with a bounded number of
queries whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from governance.admin.approvals import asked_for
from governance.approval_words import requester
from governance.models import (
    ApiKey,
    Approval,
    ApprovalStatus,
    ModelCall,
)
from governance.processes import alive
from governance.standing import standings
from governance.views import curl_line
from palyra_site.console import permissions
from palyra_site.console.provider_rows import provider_rows
from palyra_site.console.spending import chart, figures
from palyra_site.console.zones import viewers_zone
from providers.models import ProviderModel
from scheduling.models import CronJob, CronRun, RunStatus

SHOWN_BUDGETS = 6
SHOWN_RUNS = 5
SHOWN_APPROVALS = 5
ENDED_BADLY = (
    RunStatus.FAILED,
    RunStatus.BLOCKED_BY_BUDGET,
    RunStatus.DENIED,
    RunStatus.UNCONFIRMED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do before the first call can be made, and whether it is done."""

    title: str
    done: bool
    address: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the first page."""
    now = timezone.now()
    zone = viewers_zone(request)
    shown: dict[str, Any] = {"now": now, "zone": zone.key, "title": "Overview"}
    if permissions.may_view_calls(request):
        shown |= _use(now, zone.key)
    if permissions.may_view_budgets(request):
        shown["standings"] = standings(now=now)[:SHOWN_BUDGETS]
    if permissions.may_view_approvals(request):
        shown |= _approvals()
    if permissions.may_view_providers(request):
        shown["providers"] = provider_rows(now)
    if permissions.may_view_jobs(request):
        shown["next_jobs"] = _next_jobs()
    if permissions.may_view_runs(request):
        shown["bad_runs"] = _bad_runs()
    if permissions.may_view_processes(request):
        shown["missing_roles"] = _missing_roles(now)
    shown["sees_nothing"] = not any(
        name in shown for name in ("used", "standings", "waiting", "providers", "next_jobs")
    )
    return {**context, **shown}


def _use(now: datetime, zone_name: str) -> dict[str, Any]:
    zone = timezone.get_current_timezone()
    if not ModelCall.objects.exists():
        return {"used": False, "steps": _first_steps(now), "curl": curl_line("ply_…")}
    return {"used": True, "figures": figures(now, zone), "chart": chart(now, zone_name, zone)}


def _first_steps(now: datetime) -> list[Step]:
    live = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    usable = ProviderModel.objects.filter(enabled=True, provider__enabled=True)
    return [
        Step(
            title="Register a provider and a model",
            done=usable.exists(),
            address=reverse("admin:providers_provider_presets"),
        ),
        Step(
            title="Mark a model as the default, for “auto”",
            done=usable.filter(is_default=True).exists(),
            address=reverse("admin:providers_providermodel_changelist"),
        ),
        Step(
            title="Create a key for a team",
            done=ApiKey.objects.filter(live, team__enabled=True).exists(),
            address=reverse("admin:governance_apikey_add"),
        ),
    ]


def _approvals() -> dict[str, Any]:
    waiting = Approval.objects.filter(status=ApprovalStatus.PENDING)
    found = waiting.select_related("team", "policy", "requested_by").order_by("requested_at")
    rows = list(found[: SHOWN_APPROVALS + 1])
    return {
        "waiting": [(one, asked_for(one), requester(one)) for one in rows[:SHOWN_APPROVALS]],
        "more_waiting": waiting.count() - SHOWN_APPROVALS if len(rows) > SHOWN_APPROVALS else 0,
    }


def _next_jobs() -> list[CronJob]:
    due = CronJob.objects.filter(enabled=True, next_slot__isnull=False)
    return list(due.select_related("team").order_by("next_slot")[:SHOWN_RUNS])


def _bad_runs() -> list[CronRun]:
    bad = CronRun.objects.filter(status__in=ENDED_BADLY).select_related("job__team")
    return list(bad.defer("output").order_by("-slot", "-id")[:SHOWN_RUNS])


def _missing_roles(now: datetime) -> list[str]:
    running = {process.role for process in alive(now)}
    return [role for role in ("worker", "scheduler") if role not in running]
