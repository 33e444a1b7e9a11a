"""The team pages of a scheduled prompt."""

from __future__ import annotations

from django.urls import reverse

from scheduling.models import CronJob


def page_of(job: CronJob, page: str = "schedule") -> str:
    return reverse(f"team:{page}", args=["blue", job.pk])
