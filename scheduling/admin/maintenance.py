"""The jobs of Palyra's own upkeep in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from providers.admin.actions import object_action
from providers.admin.base import ReadOnlyAdmin
from providers.display import (
    NOTHING,
    Tone,
    badge,
    distance,
    duration,
    moment,
    muted,
    number,
    two_lines,
)
from scheduling.forms import PauseForm
from scheduling.maintenance import operating
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.maintenance.operating import OPERATE_PERMISSION
from scheduling.models import MaintenanceJob, MaintenanceStatus

if TYPE_CHECKING:
    INPUT_CLASSES: list[str] = []
else:
    from unfold.widgets import INPUT_CLASSES

STATUS_TONES: dict[str, Tone] = {
    MaintenanceStatus.NEVER: "quiet",
    MaintenanceStatus.OK: "good",
    MaintenanceStatus.FAILED: "bad",
}


class ScheduleForm(forms.Form):
    """When a job of upkeep runs: one of the two."""

    cron = forms.CharField(
        required=False,
        max_length=256,
        label="Cron expression",
        help_text="Five fields, read in UTC.",
        widget=forms.TextInput(attrs={"class": " ".join(INPUT_CLASSES)}),
    )
    every_seconds = forms.IntegerField(
        required=False,
        label="or every",
        help_text="Seconds.",
        widget=forms.NumberInput(attrs={"class": " ".join(INPUT_CLASSES)}),
    )


class MaintenancePauseForm(PauseForm):
    """Why a job of upkeep is paused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = "Shown here until it is resumed."


@admin.register(MaintenanceJob)
class MaintenanceJobAdmin(ReadOnlyAdmin):
    """What Palyra does for itself: when, by one process at a time, and what came of it last."""

    list_display = ("title", "schedule", "state", "last", "result", "next_run")
    list_filter = ("enabled", "last_status")
    search_fields = ("name",)
    search_help_text = "Name"
    empty_text = "A scheduler makes these when it starts. Start Palyra with “palyra up”."
    empty_action = ("admin:governance_processheartbeat_changelist", "See processes")
    object_actions = ("run_now", "pause", "resume", "reschedule")
    fields = readonly_fields = (
        "title",
        "does",
        "schedule",
        "state",
        "next_run",
        "last",
        "amount_took",
        "result",
        "amount_failures",
    )

    def has_operate_permission(
        self, request: HttpRequest, obj: MaintenanceJob | None = None
    ) -> bool:
        return request.user.has_perm(OPERATE_PERMISSION)

    def object_note(self, request: HttpRequest, obj: MaintenanceJob) -> str:
        return f"Paused: {obj.paused_reason}" if not obj.enabled else ""

    @object_action(label="Run now", permission="operate", icon="play_arrow", tone="primary")
    def run_now(self, _request: HttpRequest, job: MaintenanceJob, _data: Any) -> str:
        operating.run_now(job, now=timezone.now())
        return "A scheduler runs it in a moment."

    @object_action(
        label="Pause",
        permission="operate",
        icon="pause",
        consequence="It will not run until it is resumed.",
        form_class=MaintenancePauseForm,
        applies=lambda job: job.enabled,
    )
    def pause(self, _request: HttpRequest, job: MaintenanceJob, data: dict[str, Any]) -> str:
        operating.pause(job, reason=data["reason"], now=timezone.now())
        return f"It is paused: {data['reason']}"

    @object_action(
        label="Resume",
        permission="operate",
        icon="play_circle",
        applies=lambda job: not job.enabled,
    )
    def resume(self, _request: HttpRequest, job: MaintenanceJob, _data: Any) -> str:
        operating.resume(job, now=timezone.now())
        return "It runs again."

    @object_action(
        label="Change the schedule",
        permission="operate",
        icon="schedule",
        consequence="It counts from now on.",
        form_class=ScheduleForm,
    )
    def reschedule(self, _request: HttpRequest, job: MaintenanceJob, data: dict[str, Any]) -> str:
        operating.reschedule(
            job, cron=data["cron"], every_seconds=data["every_seconds"], now=timezone.now()
        )
        return f"It runs by a new schedule: {operating.sentence(job)}."

    @admin.display(description="job", ordering="name")
    def title(self, job: MaintenanceJob) -> str:
        known = BY_NAME.get(job.name)
        return known.title if known else job.name

    @admin.display(description="what it does")
    def does(self, job: MaintenanceJob) -> str:
        known = BY_NAME.get(job.name)
        return known.does if known else "This version of Palyra does not know it."

    @admin.display(description="schedule")
    def schedule(self, job: MaintenanceJob) -> str:
        return operating.sentence(job)

    @admin.display(description="state", ordering="last_status")
    def state(self, job: MaintenanceJob) -> str:
        if operating.is_running(job, timezone.now()):
            return badge("Running", "busy")
        done = badge(MaintenanceStatus(job.last_status).label, STATUS_TONES[job.last_status])
        return done if job.enabled else two_lines(badge("Paused", "warning"), done)

    @admin.display(description="last run", ordering="last_started_at")
    def last(self, job: MaintenanceJob) -> str:
        if job.last_started_at is None:
            return NOTHING
        ago = muted(distance(job.last_started_at, timezone.now()))
        return two_lines(moment(job.last_started_at), ago)

    @admin.display(description="took")
    def amount_took(self, job: MaintenanceJob) -> str:
        if job.last_started_at is None or job.last_finished_at is None:
            return NOTHING
        seconds = (job.last_finished_at - job.last_started_at).total_seconds()
        return duration(seconds) if seconds >= 0 else NOTHING

    @admin.display(description="result")
    def result(self, job: MaintenanceJob) -> str:
        return job.last_result or NOTHING

    @admin.display(description="failures in a row", ordering="failures_in_a_row")
    def amount_failures(self, job: MaintenanceJob) -> str:
        return number(job.failures_in_a_row)

    @admin.display(description="next run", ordering="next_at")
    def next_run(self, job: MaintenanceJob) -> str:
        if job.next_at is None:
            return NOTHING
        if operating.waits_for_work(job, timezone.now()):
            return muted("When there is something to do")
        return two_lines(moment(job.next_at), muted(distance(job.next_at, timezone.now())))
