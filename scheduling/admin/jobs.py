"""Scheduled prompts in the console."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList as DjangoChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.views.decorators.http import require_safe

from governance.admin.call_links import calls_links
from governance.zones import zone
from providers.admin.base import ConsoleAdmin, ObjectLink, remembered
from providers.display import NOTHING, link, moment, muted, object_link, two_lines
from scheduling import jobs
from scheduling.admin.drafts import DraftPage
from scheduling.admin.forms import JobAdminForm
from scheduling.admin.operations import REVIEWS, JobOperations
from scheduling.display import job_badge, marks, run_status, slot_moment, zone_of
from scheduling.forms import TimingForm
from scheduling.forms.jobs import SECTIONS, initial_of, is_unusual
from scheduling.forms.timing import WHEN
from scheduling.models import CronJob, CronRun, ExclusionCalendar
from scheduling.policy_words import policy_facts
from scheduling.previews import next_times
from scheduling.run_story import review_counts
from scheduling.schedule import Upcoming

if TYPE_CHECKING:
    ChangeList = DjangoChangeList
else:
    from unfold.views import ChangeList

FACTS = (
    "sentence",
    "next_times",
    "state",
    "latest_run",
    "all_runs",
    "creator",
)


class ReviewFilter(admin.SimpleListFilter):
    """Those with missed times about which a person is to decide."""

    title = "missed times"
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "To review"),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[CronJob]) -> QuerySet[CronJob]:
        if self.value() != "yes":
            return queryset
        return queryset.filter(
            Exists(CronRun.objects.filter(job=OuterRef("pk"), needs_review=True))
        )


class JobList(ChangeList):
    """The list of jobs, each with its latest run and what is to be reviewed: one question each for
    the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found: list[Any] = list(self.result_list)
        counts = review_counts(found)
        runs = CronRun.objects.defer("output", "asked").in_bulk([job.last_run_id for job in found])
        for job in found:
            job.last_run = runs.get(job.last_run_id)
            job.to_review = counts.get(job.pk, 0)
        self.result_list = found


@admin.register(CronJob)
class CronJobAdmin(DraftPage, JobOperations, ConsoleAdmin):
    """Prompts that run by themselves: when, as which team, with which model."""

    form = JobAdminForm
    list_display = ("shown_name", "team", "next_run", "latest_run", "state")
    list_filter = ("enabled", ReviewFilter, "team", "schedule_kind", "overlap", "misfire")
    search_fields = ("name", "team__name", "prompt")
    search_help_text = "Name, team or prompt"
    list_select_related = ("team", "created_by")
    empty_text = "A scheduled prompt runs by itself, on the team's budget, and keeps its answers."
    empty_action = ("admin:scheduling_cronjob_add", "Schedule the first prompt")
    object_actions = ("run_now", "pause", "resume", *REVIEWS)
    conditional_fields = {
        "cron": "schedule_kind == 'cron'",
        "every_count": "schedule_kind == 'every'",
        "every_unit": "schedule_kind == 'every'",
        "at": "schedule_kind == 'at'",
        "max_parallel": "overlap == 'allow'",
        "catch_up_limit": "misfire == 'catch_up'",
        "catch_up_hours": "misfire == 'catch_up'",
        "output_schema": "output_format == 'json'",
    }
    editable_fieldsets = (
        (None, {"fields": ("team", "name")}),
        ("What is sent", {"fields": ("prompt", "system_prompt", "model", "max_output_tokens")}),
        ("When it runs", {"fields": (*WHEN, "preview")}),
        ("Beginning, end and exceptions", {"fields": SECTIONS["bounds"]}),
        ("If things do not go as they should", {"fields": SECTIONS["policies"]}),
        ("What is asked and answered", {"fields": SECTIONS["answer"]}),
        ("Tell about it", {"fields": SECTIONS["deliveries"]}),
    )

    def get_urls(self) -> list[URLPattern]:
        preview = path(
            "preview/",
            self.admin_site.admin_view(self.preview_view),
            name="scheduling_cronjob_preview",
        )
        return [preview, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronJob]:
        found: QuerySet[CronJob] = super().get_queryset(request).prefetch_related("calendars")
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
            return [_folded(one, {}) for one in self.editable_fieldsets]
        now = ("Now", {"fields": FACTS})
        if self.has_change_permission(request, obj):
            stored = initial_of(obj)
            return [now, *(_folded(one, stored) for one in self.editable_fieldsets)]
        shown = ("team", "name", "prompt", "system_prompt", "model", "max_output_tokens")
        return (now, (None, {"fields": shown}), ("Policies", {"fields": ("policies",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: CronJob | None = None) -> Any:
        # The budget a job runs on is its team's; another team's job is another job.
        return ("preview",) if obj is None else (*FACTS, "preview", "policies", "team")

    def save_model(self, request: HttpRequest, obj: CronJob, form: Any, change: bool) -> None:
        """The form has stored it, through the service."""

    def has_delete_permission(self, request: HttpRequest, obj: CronJob | None = None) -> bool:
        """What has run is paused, not deleted: its runs are part of the account."""
        if obj is not None and obj.runs.exists():
            return False
        return super().has_delete_permission(request, obj)

    def object_links(self, request: HttpRequest, obj: CronJob) -> list[ObjectLink]:
        return calls_links(request, q=obj.pk)

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
        every: Any = form.fields["calendars"]
        every.queryset = ExclusionCalendar.objects.all()
        preview = form.preview(timezone.now(), self._named_job(request))
        written = any(request.GET.get(name) for name in ("cron", "every_count", "at"))
        context = {
            "preview": preview,
            "faults": [fault for faults in form.errors.values() for fault in faults],
            "is_begun": written,
            "times": _shown_times(preview.times, zone(form.cleaned_data["zone"]))
            if preview
            else [],
        }
        return TemplateResponse(request, "admin/scheduling/cronjob/preview.html", context)

    def _named_job(self, request: HttpRequest) -> CronJob | None:
        """The job that is being changed, if one is."""
        key = request.GET.get("job")
        found: CronJob | None = self.get_object(request, key) if key else None
        return found

    @admin.display(description="prompt", ordering="name")
    def shown_name(self, job: CronJob) -> str:
        return two_lines(job.name, muted(self.sentence(job)))

    @admin.display(description="schedule")
    def sentence(self, job: CronJob) -> str:
        return jobs.sentence(job)

    @admin.display(description="next run", ordering="next_slot")
    def next_run(self, job: CronJob) -> str:
        return slot_moment(job.next_slot, zone_of(job)) if job.enabled else NOTHING

    @admin.display(description="next runs")
    def next_times(self, job: CronJob) -> str:
        times = _shown_times(next_times(job, timezone.now()), zone_of(job))
        return format_html_join("", "<div>{}</div>", ((time,) for time in times)) or NOTHING

    @admin.display(description="latest run")
    def latest_run(self, job: Any) -> str:
        run = remembered(job, "last_run", CronRun.objects.filter(pk=job.last_run_id).first)
        if run is None:
            return "Has not run"
        when = object_link("scheduling_cronrun", run.pk, slot_moment(run.slot, zone_of(job)))
        return two_lines(run_status(run), when)

    @admin.display(description="runs")
    def all_runs(self, job: CronJob) -> str:
        address = reverse("admin:scheduling_cronrun_changelist")
        return link(f"{address}?job__id__exact={job.pk}", "All runs")

    @admin.display(description="next runs, as written")
    def preview(self, job: CronJob) -> str:
        stored = job if job.created_at else None
        return render_to_string("admin/scheduling/cronjob/preview_box.html", {"job": stored})

    @admin.display(description="policies")
    def policies(self, job: CronJob) -> str:
        rows = policy_facts(job)
        return format_html_join(
            "", "<div>{} {}</div>", ((muted(f"{about}:"), says) for about, says in rows)
        )

    @admin.display(description="state", ordering="enabled")
    def state(self, job: CronJob) -> str:
        notes = [] if job.enabled else [job.paused_reason]
        if waiting := getattr(job, "to_review", 0):
            notes.append(f"{waiting:,} missed time{'' if waiting == 1 else 's'} to review")
        said = "; ".join(note for note in notes if note)
        return two_lines(job_badge(job), muted(said)) if said else job_badge(job)

    @admin.display(description="created")
    def creator(self, job: CronJob) -> str:
        return two_lines(moment(job.created_at), muted(f"by {job.created_by or 'the system'}"))


def _folded(fieldset: Any, stored: dict[str, Any]) -> Any:
    """A part that a simple job does without, folded where nothing in it is unusual."""
    title, options = fieldset
    names = options["fields"]
    if names not in SECTIONS.values() or any(is_unusual(name, stored.get(name)) for name in names):
        return fieldset
    return title, {**options, "classes": ("collapse",)}


def _shown_times(times: Iterable[Upcoming], where: ZoneInfo) -> list[str]:
    """Times to come with what is unusual about each."""
    shown = ((slot_moment(time.slot, where), marks(time, where)) for time in times)
    return [two_lines(slot, "; ".join(said)) if said else slot for slot, said in shown]
