"""A team and its scheduled prompts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from governance.models import Team
from scheduling import jobs
from scheduling.claiming import claim
from scheduling.models import CronJob, CronRun

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
            CronJob.objects.filter(pk=job.pk).update(next_slot=due, due_at=due, anchor_at=due)
            job.refresh_from_db()
        return job

    return make


MakeRun = Callable[..., CronRun]


@pytest.fixture
def make_run(make_job: MakeJob) -> MakeRun:
    """Makes a job and its run, due a moment ago and claimed by `owner` if one is given."""

    def make(*, owner: UUID | None = None, trigger: str = "schedule", **fields: Any) -> CronRun:
        now = timezone.now()
        job = make_job(**fields)
        run = CronRun.objects.create(
            job=job, slot=now, trigger=trigger, lane=0, queued_at=now, due_at=now, sent_at=now
        )
        if owner is None:
            return run
        claimed = claim(owner, foreground=100, background=100, now=now)
        return next(one for one in claimed if one.pk == run.pk)

    return make
