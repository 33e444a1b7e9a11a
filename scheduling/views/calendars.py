"""The team's pages about calendars: days on which schedules do not run."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access import TeamAccess, team_page
from scheduling import calendars
from scheduling.forms import CalendarForm
from scheduling.models import ExclusionCalendar

CALENDARS_A_PAGE = 50


@require_safe
@team_page
def calendar_list(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """The team's calendars, which it may change, and those of everyone."""
    found = calendars.usable_by(access.team).order_by("name", "pk")
    page = Paginator(found, CALENDARS_A_PAGE).get_page(request.GET.get("page"))
    used = ExclusionCalendar.objects.filter(
        pk__in=[one.pk for one in page], jobs__team=access.team
    ).annotate(count=Count("jobs"))
    counts = dict(used.values_list("pk", "count"))
    today = timezone.localdate()
    rows = [
        (one, min((day for day in one.days if day >= today), default=None), counts.get(one.pk, 0))
        for one in page
    ]
    return render(
        request,
        "team/calendars.html",
        {"access": access, "page": page, "rows": rows},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def calendar_create(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """Make a calendar of the team's."""
    return _edit(request, access, None)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def calendar_edit(request: HttpRequest, access: TeamAccess, calendar_id: int) -> HttpResponse:
    """Change a calendar of the team's."""
    return _edit(request, access, _own(access, calendar_id))


def _edit(
    request: HttpRequest, access: TeamAccess, calendar: ExclusionCalendar | None
) -> HttpResponse:
    form = CalendarForm(request.POST or None, team=access.team, calendar=calendar)
    if request.method == "POST":
        saved = form.store(timezone.now())
        if saved is not None:
            days = len(saved.dates)
            messages.success(request, f"“{saved}” names {days:,} day{'' if days == 1 else 's'}.")
            return redirect("team:calendars", access.team.slug)
    users = [] if calendar is None else list(calendar.jobs.order_by("name"))
    context = {"access": access, "form": form, "calendar": calendar, "users": users}
    return render(request, "team/calendar_form.html", context)


@require_POST
@team_page
def calendar_delete(request: HttpRequest, access: TeamAccess, calendar_id: int) -> HttpResponse:
    """Delete a calendar of the team's that no schedule goes by."""
    calendar = _own(access, calendar_id)
    try:
        calendars.delete(calendar)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("team:calendar-edit", access.team.slug, calendar_id)
    messages.success(request, f"“{calendar}” is deleted.")
    return redirect("team:calendars", access.team.slug)


def _own(access: TeamAccess, calendar_id: int) -> ExclusionCalendar:
    return get_object_or_404(ExclusionCalendar, pk=calendar_id, team=access.team)
