"""The console's first page: what is spent, what is short, what is broken and what comes next.

Each part is shown to those who may see the list it leads to, and read with a bounded number of
queries whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from governance.admin.approvals import asked_for
from governance.approval_words import requester
from governance.models import (
    Alert,
    AlertSeverity,
    ApiKey,
    Approval,
    ApprovalStatus,
    ModelCall,
    Team,
)
from governance.processes import alive
from governance.standing import Standing, standings
from governance.usage.adding import Key
from governance.usage.cube import Cube, cube
from governance.usage.pace import at_the_end, reaches
from governance.views import curl_line
from palyra_site.console import permissions
from palyra_site.console.charts import Chart, draw
from palyra_site.console.dimensions import DIMENSIONS, calls_address, labels, of_list
from palyra_site.console.figures import now_figures, period_figures
from palyra_site.console.filters import PERIODS, Filter, read
from palyra_site.console.provider_rows import provider_rows
from palyra_site.console.zones import viewers_zone
from providers.display import moment_text
from providers.models import ProviderModel
from scheduling.models import CronJob, CronRun, RunStatus

SHOWN_BUDGETS = 6
SHOWN_RUNS = 5
SHOWN_APPROVALS = 5
SHOWN_ALERTS = 5
# The bars of the chart, by the name of what they are stacked by.
STACKED = ("team", "model", "provider")
ENDED_BADLY = (
    RunStatus.FAILED,
    RunStatus.BLOCKED_BY_BUDGET,
    RunStatus.DENIED,
    RunStatus.UNCONFIRMED,
)
# The gravest first.
GRAVITY = Case(
    When(severity=AlertSeverity.CRITICAL, then=Value(0)),
    When(severity=AlertSeverity.WARNING, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do before the first call can be made, and whether it is done; `address` is empty
    for those who may not."""

    title: str
    done: bool
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """A budget, and what it comes to at its pace."""

    standing: Standing
    forecast: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One way to look at the same."""

    title: str
    address: str
    chosen: bool


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the first page."""
    now = timezone.now()
    zone = viewers_zone(request)
    teams = {team.pk: team for team in Team.objects.order_by("name")}
    today = now.astimezone(zone).date()
    chosen = read(request.GET, today=today, zone=zone, teams=teams, dimensions=STACKED)
    team = teams.get(chosen.team_id or 0)
    shown: dict[str, Any] = {
        "now": now,
        "zone": zone.key,
        "title": "Overview",
        "chosen": chosen,
        "periods": PERIODS.items(),
        "teams": teams.values(),
        "team": team,
    }
    shown |= _parts(request, now, zone, chosen, team)
    shown["sees_nothing"] = not any(
        name in shown
        for name in (
            *("used", "budgets", "waiting", "providers", "next_jobs", "alerts"),
            *("bad_runs", "missing_roles"),
        )
    )
    return {**context, **shown}


def _parts(
    request: HttpRequest, now: datetime, zone: ZoneInfo, chosen: Filter, team: Team | None
) -> dict[str, Any]:
    """Every part that this person may see."""
    shown: dict[str, Any] = {}
    found = None
    if permissions.may_view_budgets(request):
        found = standings(now=now, team=team)
        shown["budgets"] = [_budget(one, now) for one in found[:SHOWN_BUDGETS]]
    if permissions.may_view_calls(request):
        called = ModelCall.objects.exists()
        shown |= _use(now, zone, chosen, team, found) if called else _before_the_first(request, now)
    if permissions.may_view_alerts(request):
        shown |= _alerts(team)
    if permissions.may_view_approvals(request):
        shown |= _approvals(team)
    if permissions.may_view_providers(request):
        sees_calls = permissions.may_view_calls(request)
        shown["providers"] = provider_rows(now, team, with_calls=sees_calls)
        shown["providers_are_with_calls"] = sees_calls
    if permissions.may_view_jobs(request):
        shown["next_jobs"] = _next_jobs(team)
    if permissions.may_view_runs(request):
        shown["bad_runs"] = _bad_runs(team)
    if permissions.may_view_processes(request):
        shown["missing_roles"] = _missing_roles(now)
    return shown


def _before_the_first(request: HttpRequest, now: datetime) -> dict[str, Any]:
    return {"used": False, "steps": _first_steps(request, now), "curl": curl_line("ply_…")}


def _use(
    now: datetime,
    zone: ZoneInfo,
    chosen: Filter,
    team: Team | None,
    found: list[Standing] | None,
) -> dict[str, Any]:
    return {
        "used": True,
        "now_figures": now_figures(now, zone, team, found),
        "figures": period_figures(now, chosen.period, team),
        "chart": _chart(zone, chosen, team),
        "tabs": [_tab(by, chosen) for by in STACKED],
        "explorer": f"{reverse('admin:spend')}?{urlencode({**chosen.parameters, 'by': chosen.by})}",
    }


def _tab(by: str, chosen: Filter) -> Tab:
    parameters = {**chosen.parameters, **({"by": by} if by != STACKED[0] else {})}
    return Tab(
        title=DIMENSIONS[by].title,
        address=f"{reverse('admin:index')}?{urlencode(parameters)}",
        chosen=by == chosen.by,
    )


def _chart(zone: ZoneInfo, chosen: Filter, team: Team | None) -> Chart:
    """Six queries for what was used, and one for what it is called."""
    span = chosen.period.span
    found = cube(
        by=chosen.by,
        step="day",
        since=span.since,
        until=span.until,
        zone=zone,
        where={"team_id": team.pk} if team else {},
    )
    whose = {"team__id__exact": str(team.pk)} if team else {}
    return spend_chart(found, labels(found.by, list(found.of_keys)), zone, whose)


def spend_chart(
    found: Cube, names: Mapping[Key, str], zone: ZoneInfo, narrowed: dict[str, str] | None
) -> Chart:
    """The chart of `found`, whose cells lead to the calls they sum among those that the list's
    parameters `narrowed` leave; nowhere if that is None."""

    def linked(period: str, key: Key | None) -> str:
        of_key = {} if key is None else of_list(found.by, key, names)
        if narrowed is None or of_key is None:
            return ""
        return calls_address(**{**narrowed, **of_key, "period": period})

    return draw(found, names, linked, zone, f"Other {DIMENSIONS[found.by].many}")


def _first_steps(request: HttpRequest, now: datetime) -> list[Step]:
    def to(name: str, permission: str) -> str:
        return reverse(f"admin:{name}") if request.user.has_perm(permission) else ""

    live = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    usable = ProviderModel.objects.filter(enabled=True, provider__enabled=True)
    return [
        Step(
            title="Register a provider and a model",
            done=usable.exists(),
            address=to("providers_provider_presets", "providers.add_provider"),
        ),
        Step(
            title="Mark a model as the default, for “auto”",
            done=usable.filter(is_default=True).exists(),
            address=to("providers_providermodel_changelist", "providers.change_providermodel"),
        ),
        Step(
            title="Create a key for a team",
            done=ApiKey.objects.filter(live, team__enabled=True).exists(),
            address=to("governance_apikey_add", "governance.add_apikey"),
        ),
    ]


def _budget(one: Standing, now: datetime) -> BudgetRow:
    return BudgetRow(standing=one, forecast=_forecast(one, now))


def _forecast(one: Standing, now: datetime) -> str:
    """When it runs out at its pace, or what it comes to; nothing if that cannot be told."""
    if one.resets_at is None or one.policy.rolling:
        return ""
    used = one.consumed + one.held
    if used >= one.limit:
        return "It is used up."
    full_at = reaches(one.limit, used, one.starts_at, one.resets_at, now)
    if full_at is not None:
        when = moment_text(full_at, ZoneInfo(one.policy.zone))
        return f"At this pace it is used up on {when}."
    expected = at_the_end(used, one.starts_at, one.resets_at, now)
    if expected is None:
        return "It is too early to tell where it ends."
    return f"At this pace {one.text(expected)} by then."


def _alerts(team: Team | None) -> dict[str, Any]:
    still_open = _of(Alert.objects.filter(resolved_at__isnull=True), team=team)
    order = ("acknowledged", "gravity", "-last_seen_at")
    found = still_open.annotate(
        gravity=GRAVITY,
        acknowledged=Case(When(acknowledged_at__isnull=True, then=Value(0)), default=Value(1)),
    ).select_related("team", "acknowledged_by")
    whose = {"team__id__exact": team.pk} if team else {}
    return {
        "alerts": list(found.order_by(*order)[:SHOWN_ALERTS]),
        "open_alerts": still_open.count(),
        "alerts_address": _list("governance_alert", state="open", **whose),
    }


def _approvals(team: Team | None) -> dict[str, Any]:
    waiting = _of(Approval.objects.filter(status=ApprovalStatus.PENDING), team=team)
    found = waiting.select_related("team", "policy", "requested_by").order_by("requested_at")
    whose = {"team__id__exact": team.pk} if team else {}
    pending = ApprovalStatus.PENDING.value
    return {
        "waiting": [(one, asked_for(one), requester(one)) for one in found[:SHOWN_APPROVALS]],
        "waiting_count": waiting.count(),
        "waiting_address": _list("governance_approval", status__exact=pending, **whose),
    }


def _next_jobs(team: Team | None) -> dict[str, Any]:
    enabled = _of(CronJob.objects.filter(enabled=True), team=team)
    due = enabled.filter(next_slot__isnull=False).select_related("team").order_by("next_slot")
    whose = {"team__id__exact": team.pk} if team else {}
    return {
        "rows": list(due[:SHOWN_RUNS]),
        "count": enabled.count(),
        "address": _list("scheduling_cronjob", enabled__exact=1, **whose),
    }


def _bad_runs(team: Team | None) -> dict[str, Any]:
    bad = _of(CronRun.objects.filter(status__in=ENDED_BADLY), job__team=team)
    rows = bad.select_related("job__team").defer("output", "asked")
    whose = {"job__team__id__exact": team.pk} if team else {}
    statuses = ",".join(status.value for status in ENDED_BADLY)
    return {
        "rows": list(rows.order_by("-slot", "-id")[:SHOWN_RUNS]),
        "address": _list("scheduling_cronrun", status__in=statuses, **whose),
    }


def _of(rows: QuerySet[Any], **whose: Team | None) -> QuerySet[Any]:
    """The rows of the team, or all if none is chosen."""
    return rows.filter(**whose) if all(whose.values()) else rows


def _list(model: str, **filters: Any) -> str:
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(filters)}"


def _missing_roles(now: datetime) -> list[str]:
    running = {process.role for process in alive(now)}
    return [role for role in ("worker", "scheduler") if role not in running]
