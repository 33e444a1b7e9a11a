"""A scheduled prompt's page."""

from __future__ import annotations

from django.urls import reverse

from scheduling.models import CronJob


def page_of(job: CronJob) -> str:
    return reverse("admin:scheduling_cronjob_change", args=[job.pk])
