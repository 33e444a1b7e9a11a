"""Scheduled prompts: what is asked, when, and what happens if things do not go as they should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from governance.models import RoutingMode, TaskClass, Team
from governance.zones import validate_zone
from providers.identifiers import new_id
from scheduling import outputs, prompts
from scheduling import schedule as schedules
from scheduling.models.calendars import ExclusionCalendar
from scheduling.models.policies import (
    DEFAULT_RUNTIME_SECONDS,
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    MAX_CATCH_UP,
    MAX_CATCH_UP_HOURS,
    MAX_JITTER_SECONDS,
    MAX_PARALLEL,
    MAX_PROMPT_LENGTH,
    MAX_RUNTIME_SECONDS,
    MisfirePolicy,
    OutputFormat,
    OverlapPolicy,
    ScheduleKind,
    between,
)
from scheduling.models.timing import Timing
from scheduling.wakeups import JOBS_CHANGED, announce

# The dispatcher's own: an edit that leaves the timing alone must not put back what it read of them.
DISPATCH_FIELDS = frozenset(
    {
        "anchor_at",
        "next_slot",
        "due_at",
        "retry_at",
        "last_error",
        "run_count",
        "failures_in_a_row",
    }
)


class CronJob(Timing, models.Model):
    """A scheduled prompt.

    `next_slot` is the next scheduled time, empty when there is none; `due_at` is when that is
    begun, which is later by the jitter.
    """

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
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Not before then.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Not after then.")
    max_runs = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=between(1, 1_000_000),
        help_text="After so many scheduled runs it is finished.",
    )
    calendars = models.ManyToManyField(
        ExclusionCalendar,
        blank=True,
        related_name="jobs",
        help_text="It does not run on the days these name.",
    )
    jitter_seconds = models.PositiveIntegerField(
        "jitter",
        default=0,
        db_default=0,
        validators=between(0, MAX_JITTER_SECONDS),
        help_text="Seconds over which its beginning is spread: the same for each scheduled time.",
    )

    overlap = models.CharField(
        "while another runs",
        max_length=16,
        choices=OverlapPolicy,
        default=OverlapPolicy.FORBID,
        db_default=OverlapPolicy.FORBID,
    )
    max_parallel = models.PositiveSmallIntegerField(
        "runs at once",
        default=2,
        db_default=2,
        validators=between(2, MAX_PARALLEL),
        help_text="At most, where runs may run beside each other.",
    )
    misfire = models.CharField(
        "missed times",
        max_length=16,
        choices=MisfirePolicy,
        default=MisfirePolicy.RUN_ONCE,
        db_default=MisfirePolicy.RUN_ONCE,
    )
    catch_up_limit = models.PositiveSmallIntegerField(
        default=3,
        db_default=3,
        validators=between(1, MAX_CATCH_UP),
        help_text="How many missed times are caught up with at most.",
    )
    catch_up_hours = models.PositiveSmallIntegerField(
        default=24,
        db_default=24,
        validators=between(1, MAX_CATCH_UP_HOURS),
        help_text="How long ago these may have been.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        "attempts",
        default=1,
        db_default=1,
        validators=between(1, MAX_ATTEMPTS),
        help_text="How often a run is tried, where its failure may pass.",
    )
    backoff_seconds = models.PositiveSmallIntegerField(
        "first pause",
        default=10,
        db_default=10,
        validators=between(1, MAX_BACKOFF_SECONDS),
        help_text="Seconds before the second attempt; doubled for each one after it.",
    )
    retry_unconfirmed = models.BooleanField(
        "retry unconfirmed runs",
        default=False,
        db_default=False,
        help_text="Also if the provider may have answered: the prompt may be paid for twice.",
    )
    max_runtime_seconds = models.PositiveIntegerField(
        "longest run",
        default=DEFAULT_RUNTIME_SECONDS,
        db_default=DEFAULT_RUNTIME_SECONDS,
        validators=between(1, MAX_RUNTIME_SECONDS),
        help_text="Seconds after which an attempt is given up.",
    )
    expected_seconds = models.PositiveIntegerField(
        "expected to take",
        null=True,
        blank=True,
        validators=between(1, MAX_RUNTIME_SECONDS),
        help_text="Seconds; a run that takes longer is marked as slow.",
    )
    pause_after_failures = models.PositiveSmallIntegerField(
        "pause after failures",
        null=True,
        blank=True,
        validators=between(1, 1000),
        help_text="So many in a row.",
    )
    task_class = models.CharField(
        max_length=32,
        choices=TaskClass,
        default=TaskClass.BACKGROUND_AUTOMATION,
        db_default=TaskClass.BACKGROUND_AUTOMATION,
    )
    routing_mode = models.CharField(
        "routing",
        max_length=16,
        choices=RoutingMode,
        blank=True,
        default="",
        db_default="",
        help_text="What a recommendation of another model does. Empty: as the team is set.",
    )

    model = models.CharField(max_length=200, default="auto")
    system_prompt = models.TextField(blank=True, max_length=MAX_PROMPT_LENGTH)
    prompt = models.TextField(max_length=MAX_PROMPT_LENGTH)
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )

    parameters = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        help_text="Values the prompt's template may use, by name.",
    )
    output_format = models.CharField(
        max_length=8, choices=OutputFormat, default=OutputFormat.TEXT, db_default=OutputFormat.TEXT
    )
    output_schema = models.JSONField(
        null=True, blank=True, help_text="The JSON schema an answer in JSON must satisfy."
    )

    enabled = models.BooleanField(default=True)
    paused_reason = models.CharField(max_length=200, blank=True)
    # Counts edits: the dispatcher's claim fails if the job changed under it.
    revision = models.PositiveIntegerField(default=0, editable=False)
    next_slot = models.DateTimeField(null=True, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    # Scheduled runs begun so far, and failures since the last success.
    run_count = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, db_default=0, editable=False)
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
            models.Index(fields=["due_at"], name="job_due_at", condition=Q(enabled=True)),
            models.Index(
                fields=["retry_at"], name="job_set_aside", condition=Q(retry_at__isnull=False)
            ),
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
        self.remember_timing()
        announce(JOBS_CHANGED)

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
            starts_at=self.starts_at,
            ends_at=self.ends_at,
        )
        # The fields' own validators say these.
        for field in ("zone", "schedule_kind"):
            found.pop(field, None)
        if "at" not in found and (reason := self.at_fault()):
            found["at"] = [reason]
        found |= self._asked_faults()
        if self._name_is_taken():
            found["name"] = ["The team already has a scheduled prompt of that name."]
        if found:
            raise ValidationError(found)

    def move(self, **columns: Any) -> None:
        """Write the dispatcher's own columns, which `save` leaves as they are stored."""
        CronJob.objects.filter(pk=self.pk).update(**columns)
        for name, value in columns.items():
            setattr(self, name, value)

    @property
    def runs_left(self) -> int | None:
        """How many scheduled runs it may still begin; None if there is no end to them."""
        return None if self.max_runs is None else max(0, self.max_runs - self.run_count)

    def _asked_faults(self) -> dict[str, list[str]]:
        """What is wrong with what is asked, and with what the answer is to be."""
        found = {
            "prompt": prompts.faults(self.prompt),
            "system_prompt": prompts.faults(self.system_prompt),
            "parameters": prompts.parameter_faults(self.parameters),
        }
        if self.prompt and not self.prompt.strip():
            found["prompt"] = ["Write what the model is to be asked."]
        if self.output_schema is not None:
            found["output_schema"] = outputs.schema_faults(self.output_schema)
            if self.output_format != OutputFormat.JSON:
                found["output_schema"].append("Only an answer in JSON has a schema.")
        return {field: faults for field, faults in found.items() if faults}

    def _name_is_taken(self) -> bool:
        if self.team_id is None or not self.name:
            return False
        others = CronJob.objects.filter(team_id=self.team_id, name=self.name).exclude(pk=self.pk)
        return others.exists()
