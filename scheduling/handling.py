"""What people do with runs: begin one now, cancel one, decide on those that were missed. Every face
calls these functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from scheduling import audit_notes, cancelling, messages, places
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import place
from scheduling.prompts import parameter_faults

SKIP, RUN_ONCE, REPLAY_ALL = "skip", "run_once", "replay_all"
DECISIONS = (SKIP, RUN_ONCE, REPLAY_ALL)
MOST_REVIEWED = 1000
LEFT_OUT = "It was missed, and left out on review."
MADE_UP_FOR = "It was missed, and made up for by the run of {slot:%Y-%m-%d %H:%M:%S} UTC."
CANCELLED = "It was cancelled."
LONGEST_REASON = 200


def run_now(job: CronJob, *, now: datetime, parameters: Mapping[str, Any] | None = None) -> CronRun:
    """Run the job once, beside its schedule, even if it is paused; `parameters` take the place of
    the job's own of the same names.

    Raises `ValidationError` while another run of it is in the way and its policy lets none wait.
    """
    faults = parameter_faults(parameters or {})
    if faults:
        raise ValidationError({"parameters": faults})
    with transaction.atomic():
        locked = _locked(job)
        verdict = place(places.read([locked])[locked.pk])
        if verdict.obstacle:
            raise ValidationError(f"{verdict.obstacle} Wait for it to end.", code="busy")
        cancelling.ask(verdict.cancels, reason="Cancelled in favour of one run now.", now=now)
        run = CronRun.objects.create(
            job=locked,
            slot=now,
            trigger=RunTrigger.MANUAL,
            status=RunStatus.QUEUED,
            lane=verdict.lane,
            parameters=dict(parameters or {}),
            queued_at=now,
            due_at=now,
            sent_at=None if verdict.waits else now,
        )
        audit_notes.ran_now(run)
        messages.tell(_promoted_or(locked, verdict.waits, now))
    run.refresh_from_db()
    return run


def run_again(run: CronRun, *, now: datetime) -> CronRun:
    """Run the job of a run that has ended once more, as it is written now, with that run's
    parameters. Raises `ValidationError` as `run_now` does, and for a run that has not ended."""
    if not can_run_again(run):
        raise ValidationError("It has not ended yet.", code="busy")
    return run_now(run.job, now=now, parameters=run.parameters)


def can_run_again(run: CronRun) -> bool:
    """Whether the run has ended; of one that a person is to decide on, the review says what comes
    of it."""
    return run.status not in ACTIVE and not run.needs_review


def _promoted_or(job: CronJob, waits: bool, now: datetime) -> int:
    """How many runs a worker can begin now: those that got a place, or the one that had it."""
    return places.promote([job], now) if waits else 1


def cancel(run: CronRun, *, now: datetime, reason: str = "") -> CronRun:
    """Cancel a run that has not ended. A call under way is broken off within a second, and charged
    as far as it got. Raises `ValidationError` if the run has ended, or the reason is too long."""
    if len(reason.strip()) > LONGEST_REASON:
        raise ValidationError({"reason": f"Give at most {LONGEST_REASON} characters."})
    with transaction.atomic():
        job = _locked(run.job)
        if not cancelling.ask([run.pk], reason=reason.strip() or CANCELLED, now=now):
            run.refresh_from_db()
            if run.status not in ACTIVE:
                raise ValidationError("It has ended already.", code="ended")
        audit_notes.cancelled(run, reason=reason)
        messages.tell(places.promote([job], now))
    cancelling.withdraw(now)
    run.refresh_from_db()
    return run


def review(job: CronJob, *, decision: str, now: datetime) -> int:
    """Decide on the missed times of a job that asks a person: leave all out, make up for all by one
    run, or run each. How many runs were queued; 0 if somebody else has decided.

    Raises `ValidationError` if there is no such decision.
    """
    if decision not in DECISIONS:
        raise ValidationError({"decision": f"Decide on one of {', '.join(DECISIONS)}."})
    with transaction.atomic():
        locked = _locked(job)
        asked = locked.runs.filter(needs_review=True, status=RunStatus.MISSED)
        missed = list(asked.order_by("-slot")[:MOST_REVIEWED])
        chosen = missed[: {SKIP: 0, RUN_ONCE: 1, REPLAY_ALL: len(missed)}[decision]]
        reason = MADE_UP_FOR.format(slot=chosen[0].slot) if chosen else LEFT_OUT
        _close(missed[len(chosen) :], reason)
        messages.tell(_queue(locked, sorted(chosen, key=lambda run: run.slot), now))
        if missed:
            audit_notes.reviewed(locked, decision=decision, missed=len(missed), queued=len(chosen))
    return len(chosen)


def _close(runs: Iterable[CronRun], reason: str) -> None:
    ids = [run.pk for run in runs]
    CronRun.objects.filter(pk__in=ids).update(needs_review=False, reason=reason)


def _queue(job: CronJob, runs: Sequence[CronRun], now: datetime) -> int:
    """Have the runs made, one after the other; how many can begin at once."""
    for run in runs:
        run.status, run.trigger, run.needs_review = RunStatus.QUEUED, RunTrigger.REPLAY, False
        run.reason, run.queued_at, run.due_at, run.finished_at = "", now, now, None
    names = ("status", "trigger", "needs_review", "reason", "queued_at", "due_at", "finished_at")
    CronRun.objects.bulk_update(runs, names)
    return places.promote([job], now)


def _locked(job: CronJob) -> CronJob:
    try:
        return CronJob.objects.select_for_update().get(pk=job.pk)
    except CronJob.DoesNotExist:
        raise ValidationError("The scheduled prompt has been deleted.", code="deleted") from None
