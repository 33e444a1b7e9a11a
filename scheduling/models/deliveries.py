"""Where what came of a job's runs is sent."""

from __future__ import annotations

from django.db import models

from governance.models import Channel
from scheduling.models.jobs import CronJob


class DeliverOn(models.TextChoices):
    """After which runs."""

    SUCCESS = "success", "Success"
    FAILURE = "failure", "Failure"
    CHANGE = "change", "Change of output"
    ALWAYS = "always", "Every end"


class RunDelivery(models.Model):
    """A job's wish: tell `channel` of the runs that end as `on` says."""

    job = models.ForeignKey(CronJob, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    on = models.CharField("after", max_length=16, choices=DeliverOn, default=DeliverOn.FAILURE)

    class Meta:
        ordering = ["pk"]
        verbose_name = "delivery of runs"
        verbose_name_plural = "deliveries of runs"
        constraints = [
            models.UniqueConstraint(
                fields=["job", "channel", "on"],
                name="run_delivery_once",
                violation_error_message="The job already has this delivery.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_on_display()}: {self.channel}"
