"""`/team/`: the self-service pages, put together from governance's and scheduling's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from governance import views as governance_views
from governance.access import TeamAccess, team_page, teams_of
from governance.approvals import policies_for
from governance.models import ApprovalStatus, ModelCall
from governance.standing import standings
from scheduling import views as scheduling_views
from scheduling.models import CronJob, CronRun

app_name = "team"

LATEST_CALLS = 8
# Of a budget for each session or key, the fullest.
SHOWN_OF_EACH = 5
LATEST_RUNS = 6
LATEST_REQUESTS = 3
# All are on the page of requests, which the part leads to.
SHOWN_PENDING = 10
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class SignOut(auth_views.LogoutView):
    """Sign out, on POST only, so that no link elsewhere can do it."""

    http_method_names = ["post", "options"]
    next_page = "account_login"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().post(request, *args, **kwargs)
        messages.success(request, "You are signed out.")
        return response


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """One's only team, or a choice of teams, or how to get into one."""
    teams = list(teams_of(cast(User, request.user)))
    if len(teams) == 1:
        return redirect("team:home", teams[0].slug)
    return render(request, "team/index.html", {"teams": teams})


@require_safe
@team_page
def home(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """A team at a glance: budgets, what ran lately, and what it asked for."""
    now = timezone.now()
    requests = governance_views.requests_of(access)
    return render(
        request,
        "team/home.html",
        {
            "access": access,
            "now": now,
            "standings": standings(
                team=access.team, person_id=access.user.pk, most_of_each=SHOWN_OF_EACH, now=now
            ),
            "raisable": set(policies_for(access.team).values_list("pk", flat=True)),
            "calls": _latest_calls(access),
            "runs": CronRun.objects.filter(job__team=access.team).select_related("job")[
                :LATEST_RUNS
            ],
            "pending": requests.filter(status=ApprovalStatus.PENDING)[:SHOWN_PENDING],
            "decided": requests.exclude(status=ApprovalStatus.PENDING)[:LATEST_REQUESTS],
        },
    )


def _latest_calls(access: TeamAccess) -> list[tuple[ModelCall, CronJob | None]]:
    """The latest calls, and the schedule of each that one made."""
    calls = list(
        ModelCall.objects.filter(team=access.team)
        .select_related("api_key", "user")
        .defer("decision", "evaluations", "holds", "attempts")[:LATEST_CALLS]
    )
    jobs = CronJob.objects.filter(team=access.team).in_bulk(
        {call.job_id for call in calls if call.job_id}
    )
    return [(call, jobs.get(call.job_id)) for call in calls]


def _page(view: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """`view` with what all team pages share: no caching, a content policy, refusals in style."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
            if response.status_code == HTTPStatus.FOUND and "HX-Request" in request.headers:
                # A part of a page asks only for parts: a redirect means the session has ended.
                response = render(request, "team/_signed_out.html")
        except Http404:
            response = render(request, "team/not_found.html", status=404)
        except PermissionDenied as refusal:
            response = render(request, "team/refused.html", {"reason": str(refusal)}, status=403)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return cast(HttpResponse, response)

    return cast("Callable[..., HttpResponse]", never_cache(page))


def _route(route: str, view: Callable[..., Any], name: str) -> URLPattern:
    return path(route, _page(view), name=name)


# Where it was before there was one page for all.
TO_SIGN_IN = RedirectView.as_view(pattern_name="account_login", query_string=True)
SCHEDULE = "<slug:team>/schedules/<uuid:job_id>/"
RUN = SCHEDULE + "runs/<uuid:run_id>/"
TOLD = RUN + "told/<uuid:delivery_id>/"
CALENDAR = "<slug:team>/calendars/<int:calendar_id>/"

urlpatterns = [
    _route("", index, "index"),
    _route("sign-in/", TO_SIGN_IN, "sign-in"),
    _route("sign-out/", SignOut.as_view(), "sign-out"),
    _route("<slug:team>/", home, "home"),
    _route("<slug:team>/schedules/", scheduling_views.schedule_list, "schedules"),
    _route("<slug:team>/schedules/new/", scheduling_views.schedule_create, "schedule-create"),
    _route("<slug:team>/schedules/preview/", scheduling_views.schedule_preview, "schedule-preview"),
    _route(SCHEDULE, scheduling_views.schedule_detail, "schedule"),
    _route(SCHEDULE + "runs/", scheduling_views.schedule_runs, "schedule-runs"),
    _route(SCHEDULE + "edit/", scheduling_views.schedule_edit, "schedule-edit"),
    _route(SCHEDULE + "pause/", scheduling_views.schedule_pause, "schedule-pause"),
    _route(SCHEDULE + "resume/", scheduling_views.schedule_resume, "schedule-resume"),
    _route(SCHEDULE + "run/", scheduling_views.schedule_run, "schedule-run"),
    _route(SCHEDULE + "try/", scheduling_views.schedule_try, "schedule-try"),
    _route(SCHEDULE + "review/", scheduling_views.schedule_review, "schedule-review"),
    _route(RUN, scheduling_views.run_detail, "schedule-run-page"),
    _route(RUN + "again/", scheduling_views.run_again, "schedule-run-again"),
    _route(RUN + "cancel/", scheduling_views.run_cancel, "schedule-run-cancel"),
    _route(TOLD + "again/", scheduling_views.run_tell_again, "schedule-run-tell-again"),
    _route("<slug:team>/calendars/", scheduling_views.calendar_list, "calendars"),
    _route("<slug:team>/calendars/new/", scheduling_views.calendar_create, "calendar-create"),
    _route(CALENDAR, scheduling_views.calendar_edit, "calendar-edit"),
    _route(CALENDAR + "delete/", scheduling_views.calendar_delete, "calendar-delete"),
    _route("<slug:team>/keys/", governance_views.key_list, "keys"),
    _route("<slug:team>/keys/new/", governance_views.key_create, "key-create"),
    _route("<slug:team>/keys/<slug:public_id>/revoke/", governance_views.key_revoke, "key-revoke"),
    _route("<slug:team>/requests/", governance_views.request_list, "requests"),
    _route("<slug:team>/requests/new/", governance_views.request_create, "request-create"),
]
