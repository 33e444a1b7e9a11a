"""Scheduled prompts and their runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from governance.models import Team
from governance.zones import validate_zone
from providers.identifiers import new_id
from scheduling import schedule as schedules
from scheduling.wakeups import JOBS_CHANGED, announce

MAX_PROMPT_LENGTH = 100_000
TIMING_FIELDS = ("schedule_kind", "cron", "every_seconds", "at", "zone", "enabled")
# The dispatcher's own: an edit that leaves the timing alone must not put back what it read of them.
DISPATCH_FIELDS = frozenset({"anchor_at", "next_slot", "retry_at", "last_error"})


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
        "every", null=True, blank=True, help_text="Seconds."
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
    # Set after a failed dispatch: the job is left alone until then.
    retry_at = models.DateTimeField(null=True, editable=False)
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

    # The timing as it is stored; None for a job that is not, or was read in part only.
    _stored_timing: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        return self.name

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Store the job and wake the schedulers.

        `DISPATCH_FIELDS` are left as they are stored unless the timing has changed.
        """
        if update_fields is None and not self._state.adding and not self.timing_changed:
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            update_fields = names - DISPATCH_FIELDS
        super().save(
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=update_fields,
        )
        self._remember_timing()
        announce(JOBS_CHANGED)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        job = super().from_db(*args, **kwargs)
        job._remember_timing()
        return job

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self._remember_timing()

    def clean(self) -> None:
        """Check the schedule, and that the name is free. Raises `ValidationError` with all faults.

        A time that has passed is a fault only where it is new: stored ones pass by themselves.
        """
        super().clean()
        found = schedules.faults(
            kind=self.schedule_kind,
            cron=self.cron or "",
            every_seconds=self.every_seconds,
            at=self.at,
            zone=self.zone,
        )
        # The fields' own validators say these.
        for field in ("zone", "schedule_kind"):
            found.pop(field, None)
        if "at" not in found and (reason := self._at_fault()):
            found["at"] = [reason]
        if self.prompt and not self.prompt.strip():
            found["prompt"] = ["Write what the model is to be asked."]
        if self._name_is_taken():
            found["name"] = ["The team already has a scheduled prompt of that name."]
        if found:
            raise ValidationError(found)

    @property
    def schedule(self) -> schedules.Schedule:
        """When it runs. Raises `schedules.ScheduleFault` if what is stored cannot be used."""
        return schedules.parse(
            kind=self.schedule_kind,
            cron=self.cron,
            every_seconds=self.every_seconds,
            at=self.at,
            zone=self.zone,
            anchor_at=self.anchor_at,
        )

    @property
    def timing_changed(self) -> bool:
        """Whether the schedule, or that the job is enabled, differs from what is stored."""
        return self._stored_timing != self._timing()

    @property
    def interval_changed(self) -> bool:
        """Whether it runs at an interval, and did not at this one as it is stored."""
        stored = self._stored_field("schedule_kind"), self._stored_field("every_seconds")
        every = self.schedule_kind == ScheduleKind.EVERY
        return every and stored != (self.schedule_kind, self.every_seconds)

    def _timing(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in TIMING_FIELDS)

    def _remember_timing(self) -> None:
        partial = self.get_deferred_fields() & set(TIMING_FIELDS)
        self._stored_timing = None if partial else self._timing()

    def _stored_field(self, name: str) -> Any:
        if self._stored_timing is None:
            return None
        return self._stored_timing[TIMING_FIELDS.index(name)]

    def _at_fault(self) -> str | None:
        if self.at is None or self.schedule_kind != ScheduleKind.AT:
            return None
        if (self._stored_field("schedule_kind"), self._stored_field("at")) == (
            self.schedule_kind,
            self.at,
        ):
            return None
        return schedules.at_fault(self.at, timezone.now())

    def _name_is_taken(self) -> bool:
        if self.team_id is None or not self.name:
            return False
        others = CronJob.objects.filter(team_id=self.team_id, name=self.name).exclude(pk=self.pk)
        return others.exists()


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
