"""Routing in the console: decisions, what another mode would change, and what was saved. The page
of the settings inherits it, for the installation's mode is one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_safe

from governance import routing_log
from governance.admin.routing_modes import Target, current_modes, switch, target_of, targets
from governance.admin.routing_savings import savings_shown
from governance.mode_changes import ModeChange
from governance.mode_sample import LOOKED_BACK, foresee_mode
from governance.models import RoutingMode, TaskClass, Team, governance_settings
from governance.scope_names import is_number
from providers.models import ModelRole, ProviderModel

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

VIEW_CALLS = "governance.view_modelcall"
# Longer than any name there is.
LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCard:
    """One mode's last thirty days, and its decisions."""

    totals: routing_log.ModeTotals
    name: str
    does: str
    address: str


class RoutingPages(Base):
    """The pages, beside those of the settings."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path(
                "routing/decisions/",
                view(self.decisions_view),
                name="governance_routing_decisions",
            ),
            path("routing/mode/", view(self.mode_view), name="governance_routing_mode"),
            path("routing/savings/", view(self.savings_view), name="governance_routing_savings"),
        ]
        return [*own, *super().get_urls()]

    @method_decorator(require_safe)
    def decisions_view(self, request: HttpRequest) -> HttpResponse:
        """The latest decisions, and how often each mode decided."""
        _refuse_unless_seen(request)
        now = timezone.now()
        question = _question(request)
        found, following = routing_log.decisions(question)
        given = {name: request.GET[name] for name in FILTERS if request.GET.get(name)}
        return self._page(
            request,
            "decisions",
            "Routing decisions",
            {
                "decisions": found,
                "cards": _cards(now),
                "following": _following(given, following),
                "given": given,
                "is_first": question.before is None,
                "modes": RoutingMode.choices,
                "classes": TaskClass.choices,
                "teams": Team.objects.order_by("name"),
                "models": _model_names(),
                "looked_at": routing_log.LOOKED_AT,
            },
        )

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def mode_view(self, request: HttpRequest) -> HttpResponse:
        """Which modes hold, and what another would have changed; posted, it is switched."""
        _refuse_unless_seen(request)
        given = request.POST if request.method == "POST" else request.GET
        target, mode = target_of(given.get("for", "")), given.get("mode")
        fault = _fault(target, mode)
        if request.method == "POST":
            if target is not None and not request.user.has_perm(target.permission):
                raise PermissionDenied
            if target is None and not any(
                request.user.has_perm(one.permission) for one in targets()
            ):
                raise PermissionDenied
            if target is not None and not fault:
                messages.success(request, switch(target, mode or ""))
                return HttpResponseRedirect(reverse("admin:governance_routing_mode"))
            messages.error(request, fault)
        now = timezone.now()
        current = current_modes(now)
        asked = "for" in given and not fault
        found = (
            foresee_mode(
                ModeChange(
                    team_id=target.team_id,
                    mode=mode or "",
                    installation=governance_settings().routing_mode,
                ),
                now,
            )
            if asked and target is not None
            else None
        )
        return self._page(
            request,
            "mode",
            "Routing modes",
            {
                "current": current,
                "targets": (current.installation, *(one.target for one in current.teams)),
                "target": target,
                "mode": mode or "",
                "modes": RoutingMode.choices,
                "fault": fault if "for" in given else "",
                "found": found,
                "is_new": target is not None and target.mode != (mode or ""),
                "may_switch": target is not None and request.user.has_perm(target.permission),
            },
        )

    @method_decorator(require_safe)
    def savings_view(self, request: HttpRequest) -> HttpResponse:
        """What routing and caches saved."""
        _refuse_unless_seen(request)
        shown = savings_shown(
            timezone.now(), period=request.GET.get("period", ""), team=request.GET.get("team", "")
        )
        teams = Team.objects.order_by("name")
        return self._page(request, "savings", "Savings", {"shown": shown, "teams": teams})

    def _page(
        self, request: HttpRequest, name: str, title: str, shown: dict[str, Any]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "page_name": name,
            "zone": timezone.get_current_timezone_name(),
            **shown,
        }
        return TemplateResponse(request, f"admin/governance/routing/{name}.html", context)


FILTERS = ("mode", "model", "team", "class", "moved")


def _refuse_unless_seen(request: HttpRequest) -> None:
    if not request.user.has_perm(VIEW_CALLS):
        raise PermissionDenied


def _question(request: HttpRequest) -> routing_log.Question:
    """What the address asks for; what is not understood asks for nothing."""
    team = request.GET.get("team", "")
    mode, task_class = request.GET.get("mode", ""), request.GET.get("class", "")
    return routing_log.Question(
        mode=mode if mode in RoutingMode.values else "",
        model=request.GET.get("model", "")[:LONGEST],
        team_id=int(team) if is_number(team) else None,
        task_class=task_class if task_class in TaskClass.values else "",
        moved=bool(request.GET.get("moved")),
        before=_before(request.GET.get("before", "")),
    )


def _before(written: str) -> tuple[datetime, UUID] | None:
    at, _, call_id = written.partition("_")
    try:
        moment, key = datetime.fromisoformat(at), UUID(call_id)
    except ValueError:
        return None
    # At the calendar's ends there is no moment before it or after it.
    return (moment, key) if moment.tzinfo is not None and 1 < moment.year < 9000 else None  # noqa: PLR2004


def _following(given: dict[str, str], place: tuple[datetime, UUID] | None) -> str:
    if place is None:
        return ""
    return "?" + urlencode({**given, "before": f"{place[0].isoformat()}_{place[1]}"})


def _cards(now: datetime) -> list[ModeCard]:
    cards = []
    for one in routing_log.by_mode(now - LOOKED_BACK, now):
        name, _, does = one.mode.label.partition(": ")
        address = "?" + urlencode({"mode": one.mode.value})
        cards.append(ModeCard(totals=one, name=name, does=does, address=address))
    return cards


def _model_names() -> list[str]:
    rows = ProviderModel.objects.filter(role=ModelRole.CHAT).order_by("provider__name", "name")
    return [f"{one}/{name}" for one, name in rows.values_list("provider__name", "name")]


def _fault(target: Target | None, mode: str | None) -> str:
    """Why it cannot be switched so, in words."""
    if target is None:
        return "Choose the installation or a team."
    if mode not in RoutingMode.values and not (mode == "" and target.team_id is not None):
        return "Choose one of the modes."
    return ""
