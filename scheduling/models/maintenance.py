"""The jobs of Palyra's own upkeep, as every process sees them."""

from __future__ import annotations

from django.db import models


class MaintenanceStatus(models.TextChoices):
    """How a maintenance job ended last."""

    NEVER = "", "Has not run"
    OK = "ok", "Done"
    FAILED = "failed", "Failed"


class MaintenanceJob(models.Model):
    """One piece of upkeep. `lease_until` is ahead while a process is at it: nobody else is then."""

    name = models.SlugField(max_length=50, primary_key=True)
    cron = models.CharField("cron expression", max_length=256, blank=True)
    every_seconds = models.PositiveIntegerField("every", null=True, blank=True)
    enabled = models.BooleanField(default=True)
    paused_reason = models.CharField(max_length=200, blank=True)
    next_at = models.DateTimeField(null=True, editable=False, db_index=True)
    owner = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    last_started_at = models.DateTimeField(null=True, editable=False)
    last_finished_at = models.DateTimeField(null=True, editable=False)
    last_status = models.CharField(
        max_length=16, choices=MaintenanceStatus, blank=True, default="", editable=False
    )
    last_result = models.CharField(max_length=500, blank=True, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "maintenance job"

    def __str__(self) -> str:
        return self.name
