"""Runs of scheduled prompts as the JSON API gives them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from governance.api.conventions import dollars_json
from providers.api.conventions import Input, Moment
from providers.api.pages import PageQuery
from scheduling.models import CronRun, RunStatus, RunTrigger
from scheduling.run_story import Attempt, attempts_of


class RunQuery(PageQuery):
    """Which runs."""

    status: RunStatus | None = None
    needs_review: bool | None = Field(
        None, description="Only missed times that a person is to decide on, or only the others."
    )


class RunsQuery(RunQuery):
    """Which runs, of whichever scheduled prompt."""

    team: str | None = Field(None, description="A team's slug.")
    job: UUID | None = Field(None, description="A scheduled prompt's identifier.")


class CancelIn(Input):
    """Why a run is cancelled."""

    reason: str = ""


class AttemptOut(Schema):
    """What came of one attempt before the last."""

    number: int
    status: str
    reason: str
    failure_class: str
    model: str
    cost: str | None
    call_id: str | None
    started_at: Moment | None
    finished_at: Moment | None

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptOut:
        return cls(
            number=attempt.number,
            status=attempt.status,
            reason=attempt.reason,
            failure_class=attempt.failure_class,
            model=attempt.model,
            cost=dollars_json(attempt.cost),
            call_id=attempt.call_id or None,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
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
    needs_review: bool = Field(description="A person is to decide whether it is made up for.")
    due_at: Moment | None = Field(description="When it is to begin, or to be tried again.")
    queued_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    lag_seconds: float | None = Field(description="From the scheduled time to its beginning.")
    cancel_requested_at: Moment | None
    slow: bool = Field(description="It took longer than the job expects.")
    attempt: int = Field(description="Attempts begun so far.")
    attempts: list[AttemptOut] = Field(description="Those before the last.")
    deferrals: int = Field(description="How often it was put off for want of a place.")
    parameters: dict[str, Any]
    asked: str = Field(description="The prompt as it was sent.")
    call_id: str | None = Field(description="The call in the ledger.")
    model: str
    explanation: str = Field(description="Why this model.")
    failure_class: str
    output: str
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None = Field(description="US dollars; null while it is not known.")

    @classmethod
    def of(cls, run: CronRun) -> RunOut:
        told = {name: getattr(run, name) for name in cls.model_fields if name not in _WORKED_OUT}
        lag = (run.started_at - run.slot).total_seconds() if run.started_at else None
        return cls(
            id=str(run.pk),
            job_id=str(run.job_id),
            lag_seconds=lag,
            attempts=[AttemptOut.of(attempt) for attempt in attempts_of(run)],
            call_id=str(run.call_id) if run.call_id else None,
            cost=dollars_json(run.cost),
            **told,
        )


_WORKED_OUT = frozenset({"id", "job_id", "lag_seconds", "attempts", "call_id", "cost"})
