"""The team's pages about scheduled prompts: made, changed, shown, paused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access import TeamAccess, team_page
from governance.forms import add_faults
from governance.zones import zone_names
from providers.models import ModelRole, ProviderModel
from scheduling import jobs
from scheduling.display import job_state
from scheduling.forms import JobForm, PauseForm, TimingForm
from scheduling.models import ACTIVE, CronJob, CronRun
from scheduling.policy_words import DECISIONS, policy_facts
from scheduling.run_story import review_counts, reviewable

JOBS_A_PAGE = 50
RUNS_A_PAGE = 20


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as lists show it."""

    job: CronJob
    sentence: str
    state: str
    last_run: CronRun | None
    to_review: int


@require_safe
@team_page
def schedule_list(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """The team's scheduled prompts."""
    latest = CronRun.objects.filter(job=OuterRef("pk")).order_by("-slot", "-id")
    found = _jobs_of(access).annotate(last_run_id=Subquery(latest.values("pk")[:1]))
    page = Paginator(found, JOBS_A_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "team/schedules.html",
        {"access": access, "now": timezone.now(), "page": page, "rows": _job_rows(page)},
    )


def _jobs_of(access: TeamAccess) -> QuerySet[CronJob]:
    found: QuerySet[CronJob] = CronJob.objects.filter(team=access.team)
    return found.prefetch_related("calendars").order_by("-enabled", "name")


def _job_rows(page: Page[Any]) -> list[JobRow]:
    found = list(page)
    runs = CronRun.objects.in_bulk([job.last_run_id for job in found if job.last_run_id])
    counts = review_counts(found)
    return [
        JobRow(
            job=job,
            sentence=jobs.sentence(job),
            state=job_state(job),
            last_run=runs.get(job.last_run_id),
            to_review=counts.get(job.pk, 0),
        )
        for job in found
    ]


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def schedule_create(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """Make a scheduled prompt."""
    return _edit(request, access, None)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def schedule_edit(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Change a scheduled prompt."""
    return _edit(request, access, job_of(access, job_id))


def job_of(access: TeamAccess, job_id: UUID) -> CronJob:
    """The team's scheduled prompt; raises `Http404` if it has none such."""
    found = CronJob.objects.select_related("team", "created_by").prefetch_related(
        "calendars", "deliveries__channel"
    )
    return get_object_or_404(found, pk=job_id, team=access.team)


def _edit(request: HttpRequest, access: TeamAccess, job: CronJob | None) -> HttpResponse:
    now = timezone.now()
    form = JobForm(request.POST or None, team=access.team, models=_models(), job=job)
    if request.method == "POST" and request.POST.get("action") != "preview":
        saved = form.store(user=access.user, now=now)
        if saved is not None:
            verb = "is scheduled" if job is None else "is changed"
            messages.success(request, f"“{saved.name}” {verb}: {jobs.sentence(saved)}.")
            return redirect("team:schedule", access.team.slug, saved.pk)
    context = {
        "access": access,
        "job": job,
        "form": form,
        "open_sections": form.open_sections,
        "zones": zone_names(),
        "preview": _preview(form if form.is_bound else _as_given(form), now, job),
    }
    if request.POST.get("action") == "preview":
        # Without scripts the preview is a button: what else is missing need not be said yet.
        form.forget_faults_beyond_timing()
    return render(request, "team/schedule_form.html", context)


def _as_given(form: JobForm) -> TimingForm:
    """The form's initial schedule as if it had been sent, to preview it."""
    given = {name: form[name].value() for name in TimingForm.base_fields}
    return TimingForm(given, team=form.team)


def _preview(form: TimingForm, now: datetime, job: CronJob | None) -> dict[str, Any]:
    found = form.preview(now, job)
    faults: list[tuple[str, str]] = []
    missing: list[str] = []
    for name in TimingForm.base_fields:
        for fault in form.errors.as_data().get(name, ()):
            # What is not filled in yet is asked for; only what is wrong is a fault.
            if fault.code == "required":
                missing += fault.messages
            else:
                faults += [(str(form[name].label), message) for message in fault.messages]
    return {
        "found": found,
        "faults": faults,
        "missing": missing,
        "zone": form["zone"].value(),
        "now": now,
    }


def _models() -> list[tuple[str, str]]:
    return list(
        ProviderModel.objects.filter(
            enabled=True, provider__enabled=True, role=ModelRole.CHAT
        ).values_list("provider__name", "name")
    )


@require_safe
@team_page
def schedule_preview(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """A schedule in words and its next times: a part of the page that is being filled in.

    `job` names the scheduled prompt that is being changed, if one is.
    """
    job = job_of(access, _uuid(request.GET["job"])) if request.GET.get("job") else None
    preview = _preview(TimingForm(request.GET, team=access.team), timezone.now(), job)
    return render(request, "team/_preview.html", {"access": access, "preview": preview})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


@require_safe
@team_page
def schedule_detail(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """A scheduled prompt and its runs."""
    job = job_of(access, job_id)
    context = _runs_context(request, access, job) | {
        "sentence": jobs.sentence(job),
        "state": job_state(job),
        "facts": policy_facts(job),
        "review": reviewable(job),
        "decisions": DECISIONS,
    }
    return render(request, "team/schedule.html", context)


@require_safe
@team_page
def schedule_runs(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """The runs alone: the page asks for them again while one is under way."""
    context = _runs_context(request, access, job_of(access, job_id))
    return render(request, "team/_runs.html", context)


def _runs_context(request: HttpRequest, access: TeamAccess, job: CronJob) -> dict[str, Any]:
    runs = CronRun.objects.filter(job=job).defer("asked")
    page = Paginator(runs, RUNS_A_PAGE).get_page(request.GET.get("page"))
    return {
        "access": access,
        "job": job,
        "now": timezone.now(),
        "page": page,
        "under_way": runs.filter(status__in=ACTIVE).exists(),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def schedule_pause(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Say what pausing does, ask why, and on POST pause."""
    job = job_of(access, job_id)
    form = PauseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            jobs.pause(job, reason=form.cleaned_data["reason"], now=timezone.now())
        except ValidationError as error:
            add_faults(form, error, shown_at={"paused_reason": "reason"})
        else:
            messages.success(request, f"“{job.name}” is paused. It will not run until resumed.")
            return redirect("team:schedule", access.team.slug, job.pk)
    return render(
        request,
        "team/schedule_pause.html",
        {"access": access, "job": job, "form": form, "now": timezone.now()},
    )


@require_POST
@team_page
def schedule_resume(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Let a paused job run again, from now on."""
    job = job_of(access, job_id)
    try:
        jobs.resume(job, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"“{job.name}” is resumed.")
    return redirect("team:schedule", access.team.slug, job.pk)
