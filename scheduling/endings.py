"""Writing how attempts ended, and what follows: the end of the run, another attempt, the job's next
run in line, a pause after failures, and what is delivered. All in one transaction."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from providers.identifiers import new_id
from scheduling import deliveries, jobs, messages, places
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.outcomes import Attempt, Retries, again_at

logger = logging.getLogger(__name__)
LONGEST_REASON = 500
# Whoever ends a run must hold it as it is read: begun, or waiting for approval.
OPEN = (RunStatus.RUNNING, RunStatus.WAITING_FOR_APPROVAL)


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt at `run`, as its worker or recovery read it, and how it ended."""

    run: CronRun
    attempt: Attempt


def finish(ends: Sequence[Ended], now: datetime) -> int:
    """Write how attempts ended; how many were still to be ended by those who hold the runs."""
    with transaction.atomic():
        locked = _lock_jobs(ends)
        held = _held(ends)
        written = [
            end
            for end in ends
            if _finish_one(end, held.get(end.run.pk), locked[end.run.job_id], now)
        ]
        messages.tell(places.promote(locked.values(), now))
    return len(written)


def _lock_jobs(ends: Sequence[Ended]) -> dict[UUID, CronJob]:
    ids = {end.run.job_id for end in ends}
    rows = CronJob.objects.filter(pk__in=ids).select_related("team").order_by("id")
    return {job.pk: job for job in rows.select_for_update(of=("self",))}


def _held(ends: Sequence[Ended]) -> dict[UUID, CronRun]:
    """The runs as they stand, those that are still whose they were when they were read: one that
    was given to somebody else meanwhile has another token."""
    tokens = {end.run.pk: end.run.token for end in ends}
    rows = CronRun.objects.filter(pk__in=tokens, status__in=OPEN)
    # The output is what is large, and there is none yet.
    found = rows.defer("output", "asked").in_bulk()
    return {pk: run for pk, run in found.items() if run.token == tokens[pk]}


def _finish_one(end: Ended, held: CronRun | None, job: CronJob, now: datetime) -> bool:
    run, attempt = end.run, end.attempt
    own = CronRun.objects.filter(pk=run.pk, token=run.token, status__in=OPEN)
    if held and held.cancel_requested_at is not None and attempt.deferred:
        # Nothing was sent, and nobody wants it any more.
        attempt = Attempt(status=RunStatus.CANCELLED)
    again = _again_at(held, job, attempt, now) if held else None
    waits = attempt.status == RunStatus.WAITING_FOR_APPROVAL
    if again is not None:
        columns = _again(held or run, attempt, again, now)
    else:
        columns = _ended(run, job, attempt, None if waits else now)
    if held is None or not own.update(**columns):
        logger.warning("Run %s ended as %s after it had been closed.", run.pk, attempt.status)
        return False
    for name, value in columns.items():
        # It keeps the token it was read with, should all this have to be written anew.
        if name != "token":
            setattr(run, name, value)
    if again is None and not waits:
        _conclude(run, job, attempt, now)
    return True


def _again_at(run: CronRun, job: CronJob, attempt: Attempt, now: datetime) -> datetime | None:
    """When the run is tried again, unless somebody cancelled it meanwhile; None if it is not."""
    if run.cancel_requested_at is not None:
        return None
    retries = Retries(
        attempts=run.attempt,
        deferrals=run.deferrals,
        deferred_since=run.deferred_since,
        max_attempts=job.max_attempts,
        backoff_seconds=job.backoff_seconds,
        retry_unconfirmed=job.retry_unconfirmed,
    )
    chance = random.random()  # noqa: S311 - it spreads retries, and keeps no secret
    return again_at(attempt, retries, now=now, chance=chance)


def _again(run: CronRun, attempt: Attempt, at: datetime, now: datetime) -> dict[str, Any]:
    """The run waits in the database until it is tried again, in the place that it has."""
    columns: dict[str, Any] = {
        "status": RunStatus.QUEUED,
        "reason": attempt.reason[:LONGEST_REASON],
        "token": new_id(),
        "owner": None,
        "due_at": at,
        "sent_at": None,
    }
    if attempt.deferred:
        return columns | {
            "attempt": run.attempt - 1,
            "deferrals": run.deferrals + 1,
            "deferred_since": run.deferred_since or now,
        }
    columns["deferred_since"] = None
    return columns | {"attempts": [*run.attempts, as_json(run, attempt, now)]}


def as_json(run: CronRun, attempt: Attempt, now: datetime) -> dict[str, Any]:
    """An attempt as the run's row keeps it."""
    columns = attempt.columns
    return {
        "number": run.attempt,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": now.isoformat(),
        "status": str(attempt.status),
        "reason": attempt.reason[:LONGEST_REASON],
        "failure_class": attempt.failure_class,
        "model": columns.get("model", ""),
        "cost": columns.get("cost"),
        "call_id": str(run.call_id) if run.call_id else None,
    }


def _ended(run: CronRun, job: CronJob, attempt: Attempt, at: datetime | None) -> dict[str, Any]:
    columns = {
        "status": attempt.status,
        "failure_class": attempt.failure_class,
        "finished_at": at,
        "asked": run.asked,
        **attempt.columns,
    }
    # One that was cancelled says already why.
    if attempt.reason or attempt.status != RunStatus.CANCELLED:
        columns["reason"] = attempt.reason[:LONGEST_REASON]
    if at and run.started_at and job.expected_seconds:
        columns["slow"] = (at - run.started_at).total_seconds() > job.expected_seconds
    return columns


def _conclude(run: CronRun, job: CronJob, attempt: Attempt, now: datetime) -> None:
    """What the end of a run means for its job, and who is told."""
    if job.deliveries.exists():
        deliveries.tell(run, previous_output=_previous_output(run), now=now)
    if attempt.status == RunStatus.SUCCEEDED and job.failures_in_a_row:
        job.move(failures_in_a_row=0)
    if not attempt.failed or run.trigger == RunTrigger.MANUAL:
        return
    job.move(failures_in_a_row=job.failures_in_a_row + 1)
    limit = job.pause_after_failures
    if job.enabled and limit and job.failures_in_a_row >= limit:
        jobs.pause(job, reason=_why_paused(job.failures_in_a_row, attempt), now=now)


def _why_paused(failures: int, attempt: Attempt) -> str:
    count = "one failure" if failures == 1 else f"{failures} failures in a row"
    return f"Paused after {count}; the last: {attempt.reason or attempt.status.label}"[:200]


def _previous_output(run: CronRun) -> str | None:
    earlier = CronRun.objects.filter(job=run.job_id, status=RunStatus.SUCCEEDED)
    others = earlier.exclude(pk=run.pk).order_by("-slot", "-id")
    found: str | None = others.values_list("output", flat=True).first()
    return found
