"""Scheduled prompts and their runs as the JSON API reads and writes them."""

from __future__ import annotations

from typing import Annotated

from ninja import Schema
from pydantic import Field, StrictInt

from governance.api.conventions import dollars_json
from providers.api.conventions import (
    KEPT,
    Change,
    Input,
    Moment,
    MomentOrClockTime,
    described,
)
from providers.api.pages import PageQuery
from scheduling import jobs
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger, ScheduleKind

Kind = Annotated[str, described(ScheduleKind.values)]

CRON = "Five fields: minute, hour, day of month, month, day of week."
AT = "When a job of kind “at” runs: with an offset, or as clocks in `zone` show it."


class TimingIn(Input):
    """When a prompt runs."""

    schedule_kind: Kind = ScheduleKind.CRON.value
    cron: str = Field("", description=CRON)
    every_seconds: StrictInt | None = None
    at: MomentOrClockTime | None = Field(None, description=AT)
    zone: str = Field("UTC", description="The IANA zone a cron expression is read in.")


class JobIn(TimingIn):
    """A new scheduled prompt."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    name: str
    prompt: str
    system_prompt: str = ""
    model: str = Field("auto", description="“auto” lets Palyra choose.")
    max_output_tokens: StrictInt | None = None


class JobChange(Change):
    """What to change of a scheduled prompt. Its times are worked out anew from now."""

    name: str = KEPT
    schedule_kind: Kind = KEPT
    cron: str = Field(KEPT, description=CRON)
    every_seconds: StrictInt | None = KEPT
    at: MomentOrClockTime | None = Field(KEPT, description=AT)
    zone: str = KEPT
    prompt: str = KEPT
    system_prompt: str = KEPT
    model: str = KEPT
    max_output_tokens: StrictInt | None = KEPT


class PauseIn(Input):
    """Why a job is paused."""

    reason: str = ""


class JobQuery(PageQuery):
    """Which scheduled prompts."""

    team: str | None = Field(None, description="A team's slug.")


class RunQuery(PageQuery):
    """Which runs."""

    status: RunStatus | None = None


class PreviewOut(Schema):
    """A schedule in words, and when it would run next."""

    sentence: str
    times: list[Moment]


class JobOut(Schema):
    """A scheduled prompt."""

    id: str
    team: str
    name: str
    schedule_kind: Kind
    cron: str
    every_seconds: int | None
    at: Moment | None
    zone: str
    sentence: str = Field(description="The schedule in words.")
    next_slot: Moment | None = Field(description="When it runs next; null if it will not.")
    prompt: str
    system_prompt: str
    model: str
    max_output_tokens: int | None
    enabled: bool = Field(description="false while it is paused.")
    paused_reason: str
    last_error: str
    created_by: str | None
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, job: CronJob) -> JobOut:
        return cls(
            id=str(job.pk),
            team=job.team.slug,
            sentence=jobs.sentence(job),
            created_by=job.created_by.get_username() if job.created_by else None,
            **{name: getattr(job, name) for name in _PLAIN},
        )


_PLAIN = (
    "name",
    "schedule_kind",
    "cron",
    "every_seconds",
    "at",
    "zone",
    "next_slot",
    "prompt",
    "system_prompt",
    "model",
    "max_output_tokens",
    "enabled",
    "paused_reason",
    "last_error",
    "created_at",
    "updated_at",
)


class RunOut(Schema):
    """One firing of a scheduled prompt, and what came of it."""

    id: str
    job_id: str
    slot: Moment = Field(description="The scheduled time.")
    trigger: RunTrigger
    status: RunStatus
    reason: str
    missed_before: int = Field(description="Scheduled times before this one that were missed.")
    queued_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    call_id: str | None = Field(description="The call in the ledger.")
    model: str
    output: str
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None = Field(description="US dollars; null while it is not known.")

    @classmethod
    def of(cls, run: CronRun) -> RunOut:
        return cls(
            id=str(run.pk),
            job_id=str(run.job_id),
            slot=run.slot,
            trigger=RunTrigger(run.trigger),
            status=RunStatus(run.status),
            reason=run.reason,
            missed_before=run.missed_before,
            queued_at=run.queued_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            call_id=str(run.call_id) if run.call_id else None,
            model=run.model,
            output=run.output,
            input_tokens=run.input_tokens,
            output_tokens=run.output_tokens,
            cost=dollars_json(run.cost),
        )
