"""Rows of the ledger and runs as calls leave them, for tests that only look at them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from governance.models import CallStatus, ModelCall, Surface, TaskClass, Team
from scheduling.models import CronJob, CronRun, RunStatus


def make_call(*, team: Team, **fields: Any) -> ModelCall:
    """A call that succeeded, of 120 tokens and 2,500,000 nano-dollars."""
    settled: dict[str, Any] = {
        "surface": Surface.OPENAI,
        "task_class": TaskClass.PRIMARY_INTERACTIVE,
        "requested_model": "auto",
        "provider": "rehearsal",
        "model": "small",
        "status": CallStatus.SUCCEEDED,
        "admitted_at": timezone.now(),
        "uncached_input_tokens": 100,
        "output_tokens": 20,
        "cost": 2_500_000,
    }
    return ModelCall.objects.create(team=team, **settled | fields)


def make_run(job: CronJob, **fields: Any) -> CronRun:
    """A run that succeeded, begun right away."""
    now = timezone.now()
    finished: dict[str, Any] = {
        "slot": now,
        "status": RunStatus.SUCCEEDED,
        "queued_at": now,
        "started_at": fields.get("slot", now),
        "finished_at": now,
        "model": "small",
        "output": "All is well.",
        "input_tokens": 100,
        "output_tokens": 20,
        "cost": 2_500_000,
    }
    return CronRun.objects.create(job=job, **finished | fields)
