"""Scheduled prompts and their runs."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from governance.models import Team
from governance.zones import validate_zone
from providers.identifiers import new_id

MAX_PROMPT_LENGTH = 100_000


class ScheduleKind(models.TextChoices):
    """How a job says when it runs."""

    CRON = "cron", "Cron expression"
    EVERY = "every", "Every so often"
    AT = "at", "Once, at a time"


class CronJob(models.Model):
    """A scheduled prompt. `next_slot` is the next scheduled time, empty when there is none."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="jobs")
    name = models.CharField(max_length=100)
    schedule_kind = models.CharField(max_length=8, choices=ScheduleKind, default=ScheduleKind.CRON)
    cron = models.CharField(
        "cron expression",
        max_length=256,
        blank=True,
        help_text="Five fields: minute, hour, day of month, month, day of week.",
    )
    every_seconds = models.PositiveIntegerField(
        "every", null=True, blank=True, validators=[MinValueValidator(1)], help_text="Seconds."
    )
    at = models.DateTimeField(null=True, blank=True)
    zone = models.CharField("time zone", max_length=64, default="UTC", validators=[validate_zone])
    anchor_at = models.DateTimeField(
        editable=False, help_text="Interval n falls on the anchor plus n times the interval."
    )

    model = models.CharField(max_length=200, default="auto")
    system_prompt = models.TextField(blank=True, max_length=MAX_PROMPT_LENGTH)
    prompt = models.TextField(max_length=MAX_PROMPT_LENGTH)
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )

    enabled = models.BooleanField(default=True)
    paused_reason = models.CharField(max_length=200, blank=True)
    # Counts edits: the dispatcher's claim fails if the job changed under it.
    revision = models.PositiveIntegerField(default=0, editable=False)
    next_slot = models.DateTimeField(null=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "scheduled prompt"
        indexes = [
            models.Index(fields=["next_slot"], name="job_due", condition=Q(enabled=True)),
        ]
        constraints = [
            models.UniqueConstraint(
                "team",
                "name",
                name="job_name_once_per_team",
                violation_error_message="The team already has a scheduled prompt of that name.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RunStatus(models.TextChoices):
    """Where a run stands, or how it ended."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    BLOCKED_BY_BUDGET = "blocked_by_budget", "Blocked by budget"
    UNCONFIRMED = "unconfirmed", "Unconfirmed"


class RunTrigger(models.TextChoices):
    """What made a run."""

    SCHEDULE = "schedule", "Schedule"
    MANUAL = "manual", "Run now"


ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)


class CronRun(models.Model):
    """One firing of a job. A scheduled time has one run, whatever became of it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(CronJob, on_delete=models.CASCADE, related_name="runs")
    slot = models.DateTimeField("scheduled time")
    trigger = models.CharField(max_length=16, choices=RunTrigger, default=RunTrigger.SCHEDULE)
    status = models.CharField(max_length=24, choices=RunStatus, default=RunStatus.QUEUED)
    reason = models.CharField(max_length=500, blank=True)
    missed_before = models.PositiveIntegerField(
        default=0,
        help_text="Scheduled times before this one when no scheduler was running.",
    )
    # What the worker must present to claim or finish the run; a repeated message has the same one.
    token = models.UUIDField(default=new_id, editable=False)
    owner = models.UUIDField(null=True, editable=False)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    call_id = models.UUIDField(null=True)
    model = models.CharField(max_length=200, blank=True)
    output = models.TextField(blank=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost = models.BigIntegerField(null=True, help_text="Nano-dollars.")

    class Meta:
        ordering = ["-slot", "-id"]
        verbose_name = "run"
        indexes = [models.Index(fields=["job", "-slot"], name="run_by_job")]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "slot"],
                condition=Q(trigger="schedule"),
                name="run_once_per_scheduled_time",
            ),
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(status__in=["queued", "running"]),
                name="run_one_active_per_job",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} at {self.slot:%Y-%m-%d %H:%M:%S}"

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; unknown is not zero."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens
