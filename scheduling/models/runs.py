"""Runs: each firing of a scheduled prompt, from its scheduled time to what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from governance.zones import zone as named_zone
from providers.display import moment_text, shortest
from providers.identifiers import new_id
from scheduling.models.jobs import CronJob


class RunStatus(models.TextChoices):
    """Where a run stands, or how it ended."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    WAITING_FOR_APPROVAL = "waiting_for_approval", "Waiting for approval"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    MISSED = "missed", "Missed"
    CANCELLED = "cancelled", "Cancelled"
    BLOCKED_BY_BUDGET = "blocked_by_budget", "Blocked by budget"
    DENIED = "denied", "Denied"
    UNCONFIRMED = "unconfirmed", "Unconfirmed"


class RunTrigger(models.TextChoices):
    """What made a run."""

    SCHEDULE = "schedule", "Schedule"
    CATCH_UP = "catch_up", "Catching up"
    REPLAY = "replay", "Replayed after review"
    MANUAL = "manual", "Run now"


# Those that take one of the job's places.
ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING_FOR_APPROVAL)
NOT_RUN = (RunStatus.SKIPPED, RunStatus.MISSED)


class CronRun(models.Model):
    """One firing of a job. A scheduled time has one run, whatever became of it.

    A run that may begin has a `lane`, one of the job's places; one that waits for a place has none
    yet. A queued one begins at `due_at`: right away, or when it is to be tried again.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(CronJob, on_delete=models.CASCADE, related_name="runs")
    slot = models.DateTimeField("scheduled time")
    trigger = models.CharField(max_length=16, choices=RunTrigger, default=RunTrigger.SCHEDULE)
    status = models.CharField(max_length=24, choices=RunStatus, default=RunStatus.QUEUED)
    reason = models.CharField(max_length=500, blank=True)
    missed_before = models.PositiveIntegerField(
        default=0,
        help_text="Scheduled times before this one that have no row of their own.",
    )
    needs_review = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A person is to say whether this missed time is made up for.",
    )
    lane = models.PositiveSmallIntegerField(null=True, editable=False)
    # What the worker must present to claim or finish the run; a repeated message has the same one.
    token = models.UUIDField(default=new_id, editable=False)
    owner = models.UUIDField(null=True, editable=False)
    queued_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    # When workers were told of it last; empty while they are yet to be told.
    sent_at = models.DateTimeField(null=True, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    slow = models.BooleanField(
        default=False, db_default=False, help_text="It took longer than the job expects."
    )

    attempt = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Attempts begun so far."
    )
    deferrals = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="How often it was put off because there was no place for its call.",
    )
    deferred_since = models.DateTimeField(null=True, editable=False)
    attempts = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="What came of each attempt before the last.",
    )
    parameters = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), blank=True
    )
    asked = models.TextField("prompt as sent", blank=True, default="", db_default="")

    call_id = models.UUIDField(null=True)
    model = models.CharField(max_length=200, blank=True)
    explanation = models.CharField(
        "why this model", max_length=500, blank=True, default="", db_default=""
    )
    failure_class = models.CharField(max_length=32, blank=True, default="", db_default="")
    output = models.TextField(blank=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost = models.BigIntegerField(null=True, help_text="Nano-dollars.")

    class Meta:
        ordering = ["-slot", "-id"]
        verbose_name = "run"
        indexes = [
            models.Index(fields=["job", "-slot"], name="run_by_job"),
            # What is open is little beside what has ended, and is looked for all the time. SQLite
            # uses none of these whose condition names several values.
            models.Index(fields=["due_at"], name="run_queued", condition=Q(status="queued")),
            models.Index(
                fields=["due_at"],
                name="run_by_person",
                condition=Q(status="queued", trigger="manual"),
            ),
            models.Index(fields=["owner"], name="run_open", condition=Q(finished_at=None)),
            models.Index(fields=["job"], name="run_open_of_job", condition=Q(finished_at=None)),
            models.Index(fields=["job"], name="run_review", condition=Q(needs_review=True)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "slot"],
                condition=~Q(trigger="manual"),
                name="run_once_per_slot",
            ),
            models.UniqueConstraint(
                fields=["job", "lane"],
                condition=Q(
                    status__in=["queued", "running", "waiting_for_approval"], lane__isnull=False
                ),
                name="run_one_per_lane",
            ),
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(status="queued", lane__isnull=True, trigger="schedule"),
                name="run_one_waiting_per_job",
            ),
        ]

    def __str__(self) -> str:
        where = named_zone(self.job.zone)
        return f"{self.job} at {moment_text(self.slot, where, precision=shortest(self.slot))}"

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; unknown is not zero."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens
