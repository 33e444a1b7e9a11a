"""Calendars in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from providers.admin.base import ConsoleAdmin
from providers.display import NOTHING, number, object_link
from scheduling import calendars
from scheduling.admin.forms import CalendarAdminForm
from scheduling.models import ExclusionCalendar

SHOWN_JOBS = 50


@admin.register(ExclusionCalendar)
class ExclusionCalendarAdmin(ConsoleAdmin):
    """Days, such as holidays, on which the scheduled prompts that go by them do not run."""

    form = CalendarAdminForm
    list_display = ("name", "whose", "amount_days", "amount_jobs")
    list_filter = ("team",)
    search_fields = ("name", "team__name")
    search_help_text = "Name or team"
    list_select_related = ("team",)
    fields = ("name", "team", "dates", "used_by")
    empty_text = "A calendar names days, such as holidays, on which scheduled prompts do not run."
    empty_action = ("admin:scheduling_exclusioncalendar_add", "Add the first calendar")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExclusionCalendar]:
        found: QuerySet[ExclusionCalendar] = super().get_queryset(request)
        return found.annotate(job_count=Count("jobs"))

    def get_readonly_fields(
        self, request: HttpRequest, obj: ExclusionCalendar | None = None
    ) -> Any:
        # Whose it is decides who may go by it, and somebody may already.
        return ("used_by",) if obj is None else ("used_by", "team")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has stored it, through the service."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One that something goes by is taken out there first."""
        if obj is not None and obj.jobs.exists():
            return False
        return super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: ExclusionCalendar) -> None:
        try:
            calendars.delete(obj)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))

    @admin.display(description="for", ordering="team__name", empty_value="Every team")
    def whose(self, calendar: ExclusionCalendar) -> Any:
        return calendar.team

    @admin.display(description="days")
    def amount_days(self, calendar: ExclusionCalendar) -> str:
        return number(len(calendar.dates))

    @admin.display(description="scheduled prompts", ordering="job_count")
    def amount_jobs(self, calendar: Any) -> str:
        return number(calendar.job_count)

    @admin.display(description="used by")
    def used_by(self, calendar: ExclusionCalendar) -> str:
        if calendar.pk is None:
            return NOTHING
        users = calendar.jobs.select_related("team").order_by("name")[:SHOWN_JOBS]
        links = (
            (object_link("scheduling_cronjob", job.pk, f"{job.name} ({job.team})"),)
            for job in users
        )
        return format_html_join("", "<div>{}</div>", links) or "No scheduled prompt"
