"""Scheduled prompts in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList as DjangoChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.views.decorators.http import require_safe

from governance.zones import zone
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, remembered
from providers.display import NOTHING, link, moment, muted, object_link, two_lines
from scheduling import handling, jobs
from scheduling import schedule as schedules
from scheduling.admin.forms import TIMING_FIELDS, JobAdminForm
from scheduling.display import job_badge, run_status, zone_of
from scheduling.forms import PauseForm, TimingForm
from scheduling.models import CronJob, CronRun

if TYPE_CHECKING:
    ChangeList = DjangoChangeList
else:
    from unfold.views import ChangeList

SHOWN_TIMES = 6
FACTS = ("sentence", "next_times", "state", "latest_run", "all_runs", "creator")


class JobList(ChangeList):
    """The list of jobs, each with its latest run: one question for the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found: list[Any] = list(self.result_list)
        runs = CronRun.objects.defer("output").in_bulk([job.last_run_id for job in found])
        for job in found:
            job.last_run = runs.get(job.last_run_id)
        self.result_list = found


@admin.register(CronJob)
class CronJobAdmin(ConsoleAdmin):
    """Prompts that run by themselves: when, as which team, with which model."""

    form = JobAdminForm
    list_display = ("shown_name", "team", "next_run", "latest_run", "state")
    list_filter = ("enabled", "team", "schedule_kind")
    search_fields = ("name", "team__name", "prompt")
    search_help_text = "Name, team or prompt"
    list_select_related = ("team", "created_by")
    empty_text = "A scheduled prompt runs by itself, on the team's budget, and keeps its answers."
    empty_action = ("admin:scheduling_cronjob_add", "Schedule the first prompt")
    change_form_after_template = "admin/scheduling/cronjob/preview_box.html"
    object_actions = ("run_now", "pause", "resume")
    conditional_fields = {
        "cron": "schedule_kind == 'cron'",
        "every_count": "schedule_kind == 'every'",
        "every_unit": "schedule_kind == 'every'",
        "at": "schedule_kind == 'at'",
    }
    editable_fieldsets = (
        (None, {"fields": ("team", "name")}),
        ("What is sent", {"fields": ("prompt", "system_prompt", "model", "max_output_tokens")}),
        ("When", {"fields": TIMING_FIELDS}),
    )

    def get_urls(self) -> list[URLPattern]:
        preview = path(
            "preview/",
            self.admin_site.admin_view(self.preview_view),
            name="scheduling_cronjob_preview",
        )
        return [preview, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronJob]:
        found: QuerySet[CronJob] = super().get_queryset(request)
        latest = CronRun.objects.filter(job=OuterRef("pk")).order_by("-slot", "-id")
        return found.annotate(last_run_id=Subquery(latest.values("pk")[:1]))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobList]:
        return JobList

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.user = request.user
        return form

    def get_fieldsets(self, request: HttpRequest, obj: CronJob | None = None) -> Any:
        if obj is None:
            return self.editable_fieldsets
        now = ("Now", {"fields": FACTS})
        if self.has_change_permission(request, obj):
            return (now, *self.editable_fieldsets)
        shown = ("team", "name", "prompt", "system_prompt", "model", "max_output_tokens")
        return (now, (None, {"fields": shown}))

    def get_readonly_fields(self, request: HttpRequest, obj: CronJob | None = None) -> Any:
        # The budget a job runs on is its team's; another team's job is another job.
        return () if obj is None else (*FACTS, "team")

    def save_model(self, request: HttpRequest, obj: CronJob, form: Any, change: bool) -> None:
        """The form has stored it, through the service."""

    def has_delete_permission(self, request: HttpRequest, obj: CronJob | None = None) -> bool:
        """What has run is paused, not deleted: its runs are part of the account."""
        if obj is not None and obj.runs.exists():
            return False
        return super().has_delete_permission(request, obj)

    def has_run_permission(self, request: HttpRequest, obj: CronJob | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def object_note(self, request: HttpRequest, obj: CronJob) -> str:
        if obj.last_error:
            return f"The scheduler could not start it: {obj.last_error}"
        return "" if obj.enabled or not obj.paused_reason else f"Paused: {obj.paused_reason}"

    @method_decorator(require_safe)
    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """A schedule in words and its next times, while it is being written."""
        if not self.has_view_permission(request) and not self.has_add_permission(request):
            raise PermissionDenied
        form = TimingForm(request.GET)
        preview = form.preview(timezone.now())
        written = any(request.GET.get(name) for name in ("cron", "every_count", "at"))
        context = {
            "preview": preview,
            "faults": [fault for faults in form.errors.values() for fault in faults],
            "is_begun": written,
            "times": [moment(at, zone(form.cleaned_data["zone"])) for at in preview.times]
            if preview
            else [],
        }
        return TemplateResponse(request, "admin/scheduling/cronjob/preview.html", context)

    @object_action(
        label="Run now",
        permission="run",
        icon="play_arrow",
        consequence="Runs the prompt once, now, on the team's budget. The schedule stays as it is.",
        tone="primary",
    )
    def run_now(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        run = handling.run_now(job, now=timezone.now())
        return f"“{job}” is queued to run now: {run}."

    @object_action(
        label="Pause",
        permission="change",
        icon="pause",
        consequence="It will not run until it is resumed; times passed meanwhile are not made up.",
        form_class=PauseForm,
        applies=lambda job: job.enabled,
    )
    def pause(self, _request: HttpRequest, job: CronJob, data: dict[str, Any]) -> str:
        jobs.pause(job, reason=data["reason"], now=timezone.now())
        return f"“{job}” is paused: {data['reason']}"

    @object_action(
        label="Resume",
        permission="change",
        icon="play_circle",
        applies=lambda job: not job.enabled,
    )
    def resume(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        jobs.resume(job, now=timezone.now())
        return f"“{job}” runs again, from now on."

    @admin.display(description="prompt", ordering="name")
    def shown_name(self, job: CronJob) -> str:
        return two_lines(job.name, muted(self.sentence(job)))

    @admin.display(description="schedule")
    def sentence(self, job: CronJob) -> str:
        return jobs.sentence(job)

    @admin.display(description="next run", ordering="next_slot")
    def next_run(self, job: CronJob) -> str:
        return moment(job.next_slot, zone_of(job)) if job.enabled else NOTHING

    @admin.display(description="next runs")
    def next_times(self, job: CronJob) -> str:
        if not job.enabled or job.next_slot is None:
            return NOTHING
        times = schedules.upcoming(job.schedule, timezone.now(), SHOWN_TIMES)
        return format_html_join("", "<div>{}</div>", ((moment(at, zone_of(job)),) for at in times))

    @admin.display(description="latest run")
    def latest_run(self, job: Any) -> str:
        run = remembered(job, "last_run", CronRun.objects.filter(pk=job.last_run_id).first)
        if run is None:
            return "Has not run"
        when = object_link("scheduling_cronrun", run.pk, moment(run.slot, zone_of(job)))
        return two_lines(run_status(run), when)

    @admin.display(description="runs")
    def all_runs(self, job: CronJob) -> str:
        address = reverse("admin:scheduling_cronrun_changelist")
        return link(f"{address}?job__id__exact={job.pk}", "All runs")

    @admin.display(description="state", ordering="enabled")
    def state(self, job: CronJob) -> str:
        if job.enabled or not job.paused_reason:
            return job_badge(job)
        return two_lines(job_badge(job), muted(job.paused_reason))

    @admin.display(description="created")
    def creator(self, job: CronJob) -> str:
        return two_lines(moment(job.created_at), muted(f"by {job.created_by or 'the system'}"))
