"""The team's pages about runs: begun, tried, shown, cancelled, and missed times decided on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access import TeamAccess, team_page
from governance.alerts import deliveries
from governance.forms import add_faults
from scheduling import handling, trials
from scheduling.forms import CancelForm, ParametersForm
from scheduling.models import CronJob, CronRun
from scheduling.run_story import (
    approvals_of,
    attempts_of,
    cancelled_words,
    decided,
    messages_of,
)
from scheduling.views.schedules import job_of


@require_POST
@team_page
def schedule_run(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Run a job once, now, with its own parameters."""
    job = job_of(access, job_id)
    try:
        handling.run_now(job, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _queued(job))
    return redirect("team:schedule", access.team.slug, job.pk)


def _queued(job: CronJob) -> str:
    return f"“{job.name}” is queued to run now. The result will show below."


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def schedule_try(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Show what would be sent with some parameters, and on request send it for real."""
    job = job_of(access, job_id)
    form = ParametersForm(_sent(request), job=job)
    rehearsal = None
    if request.method == "POST" and form.is_valid():
        parameters = form.cleaned_data["parameters"]
        try:
            if request.POST.get("action") == "run":
                handling.run_now(job, now=timezone.now(), parameters=parameters)
                messages.success(request, _queued(job))
                return redirect("team:schedule", access.team.slug, job.pk)
            rehearsal = trials.rehearse(job, parameters or {}, timezone.now())
        except ValidationError as error:
            add_faults(form, error)
    context = {"access": access, "job": job, "form": form, "rehearsal": rehearsal}
    return render(request, "team/schedule_try.html", context)


@require_POST
@team_page
def schedule_review(request: HttpRequest, access: TeamAccess, job_id: UUID) -> HttpResponse:
    """Decide what becomes of the job's missed times."""
    job = job_of(access, job_id)
    decision = request.POST.get("decision", "")
    try:
        queued = handling.review(job, decision=decision, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, decided(decision, queued))
    return redirect("team:schedule", access.team.slug, job.pk)


@require_safe
@team_page
def run_detail(
    request: HttpRequest, access: TeamAccess, job_id: UUID, run_id: UUID
) -> HttpResponse:
    """One run: its times, its attempts, what was asked and answered, and whom it was told."""
    run = _run(access, job_id, run_id)
    context: dict[str, Any] = {
        "access": access,
        "job": run.job,
        "run": run,
        "now": timezone.now(),
        "attempts": attempts_of(run),
        "approvals": approvals_of(run),
        "told": messages_of(run),
    }
    return render(request, "team/run.html", context)


@require_POST
@team_page
def run_again(request: HttpRequest, access: TeamAccess, job_id: UUID, run_id: UUID) -> HttpResponse:
    """Run the job of a run that has ended once more, with the run's parameters."""
    run = _run(access, job_id, run_id)
    try:
        run = handling.run_again(run, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, "It is queued to run now. This is its page; look again soon.")
    return redirect("team:schedule-run-page", access.team.slug, run.job_id, run.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def run_cancel(
    request: HttpRequest, access: TeamAccess, job_id: UUID, run_id: UUID
) -> HttpResponse:
    """Say what cancelling does, and on POST cancel."""
    run = _run(access, job_id, run_id)
    form = CancelForm(_sent(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            cancelled = handling.cancel(run, now=timezone.now(), reason=reason)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, cancelled_words(cancelled))
        return redirect("team:schedule-run-page", access.team.slug, run.job_id, run.pk)
    context = {"access": access, "job": run.job, "run": run, "form": form, "now": timezone.now()}
    return render(request, "team/run_cancel.html", context)


@require_POST
@team_page
def run_tell_again(
    request: HttpRequest, access: TeamAccess, job_id: UUID, run_id: UUID, delivery_id: UUID
) -> HttpResponse:
    """Send a message about a run again."""
    run = _run(access, job_id, run_id)
    told = get_object_or_404(messages_of(run), pk=delivery_id)
    try:
        deliveries.redeliver(told, timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"It is on its way to “{told.channel}” again.")
    return redirect("team:schedule-run-page", access.team.slug, run.job_id, run.pk)


def _sent(request: HttpRequest) -> QueryDict | None:
    """What was sent, be it nothing, as all of it is optional; None if it is only looked at."""
    return request.POST if request.method == "POST" else None


def _run(access: TeamAccess, job_id: UUID, run_id: UUID) -> CronRun:
    found = CronRun.objects.select_related("job__team")
    return get_object_or_404(found, pk=run_id, job=job_id, job__team=access.team)
