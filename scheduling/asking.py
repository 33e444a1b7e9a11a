"""What a run asks: the job's prompts, filled in for a scheduled time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.zones import zone
from scheduling import prompts
from scheduling.models import CronJob, CronRun, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The prompts as they are sent."""

    system_prompt: str
    prompt: str


def ask(
    job: CronJob, *, scheduled_at: datetime, now: datetime, parameters: Mapping[str, Any]
) -> Asked:
    """Fill in the prompts of a job. `parameters` are added to the job's own, and come before them.

    The previous output is that of the last success before `scheduled_at`. Raises `PromptFault`.
    """
    local = zone(job.zone)
    previous = _previous(job, scheduled_at)
    context = prompts.PromptContext(
        now=now.astimezone(local),
        scheduled_at=scheduled_at.astimezone(local),
        job_name=job.name,
        team_name=job.team.name if job.team_id else "",
        previous_output=previous.output if previous else None,
        previous_at=previous.slot.astimezone(local) if previous else None,
        parameters={**job.parameters, **parameters},
    )
    return Asked(
        system_prompt=prompts.render(job.system_prompt, context),
        prompt=prompts.render(job.prompt, context),
    )


def _previous(job: CronJob, scheduled_at: datetime) -> CronRun | None:
    """The last success before a scheduled time, if the prompts may speak of it."""
    if job._state.adding or "previous" not in job.prompt + job.system_prompt:
        return None
    before = job.runs.filter(status=RunStatus.SUCCEEDED, slot__lt=scheduled_at)
    return before.only("output", "slot").order_by("-slot").first()
