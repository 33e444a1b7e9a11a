"""A team and its scheduled prompts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from governance.models import Team
from providers.models import Provider, ProviderKind, ProviderModel
from scheduling import jobs
from scheduling.claiming import claim
from scheduling.models import CronJob, CronRun
from tests.support.processes import ChildProcess

MakeJob = Callable[..., CronJob]
Start = Callable[..., ChildProcess]


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


@pytest.fixture
def model() -> ProviderModel:
    """A model that answers by itself."""
    provider = Provider.objects.create(name="rehearsal", kind=ProviderKind.DETERMINISTIC)
    model: ProviderModel = ProviderModel.objects.create(
        provider=provider,
        name="echo",
        is_default=True,
        context_window=8000,
        max_output_tokens=100,
    )
    return model


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command on the test's own database; all are stopped at the end."""
    environment = {
        **os.environ,
        "DATABASE_URL": _test_database(),
        "PALYRA_OWNER_TIMEOUT": "4",
        "PYTHONUNBUFFERED": "1",
    }
    with ExitStack() as children:

        def start(role: str, *, await_it: bool = True) -> ChildProcess:
            command = [sys.executable, "manage.py", role]
            child = ChildProcess(role, command, environment=environment | {"PALYRA_ROLE": role})
            children.enter_context(child)
            if await_it:
                child.wait_for_line(f"The {role} starts")
            return child

        yield start


def _test_database() -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
