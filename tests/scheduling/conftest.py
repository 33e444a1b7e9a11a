"""A team and its scheduled prompts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob

MakeJob = Callable[..., CronJob]


@pytest.fixture
def team(db: None) -> Team:
    team: Team = Team.objects.create(slug="demo", name="Demo")
    return team


@pytest.fixture
def make_job(team: Team) -> MakeJob:
    """Makes a job, every minute unless told otherwise; `due` sets its next scheduled time."""

    def make(*, due: datetime | None = None, **fields: Any) -> CronJob:
        given: dict[str, Any] = {
            "team": team,
            "name": f"Job {CronJob.objects.count()}",
            "schedule_kind": "every",
            "prompt": "How are the figures?",
            "now": timezone.now(),
        }
        if fields.get("schedule_kind", "every") == "every":
            given["every_seconds"] = 60
        job = jobs.create_job(**given | fields)
        if due is not None:
            CronJob.objects.filter(pk=job.pk).update(next_slot=due, anchor_at=due)
            job.refresh_from_db()
        return job

    return make
