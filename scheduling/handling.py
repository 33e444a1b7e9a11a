"""What people do with runs: begin one now, cancel one, decide on those that were missed. Every face
calls these functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from scheduling import audit_notes, cancelling, messages, places
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import place
from scheduling.prompts import parameter_faults

SKIP, RUN_ONCE, REPLAY_ALL = "skip", "run_once", "replay_all"
DECISIONS = (SKIP, RUN_ONCE, REPLAY_ALL)
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
    as far as it got. Once more says nothing new. Raises `ValidationError` if the run has ended, or
    the reason is too long."""
    _check_reason(reason)
    with transaction.atomic():
        job = _locked(run.job)
        if cancelling.ask([run.pk], reason=reason.strip() or CANCELLED, now=now):
            audit_notes.cancelled(run, reason=reason)
            messages.tell(places.promote([job], now))
        elif not CronRun.objects.filter(pk=run.pk, status__in=ACTIVE).exists():
            raise ValidationError("It has ended already.", code="ended")
    cancelling.withdraw(now)
    run.refresh_from_db()
    return run


def cancel_all(job: CronJob, *, now: datetime, reason: str = "") -> list[CronRun]:
    """Cancel all of the job's runs that have not ended, as `cancel` does one: at once, so that none
    which waits has the place of another meanwhile. The runs as they stand then, in order."""
    _check_reason(reason)
    with transaction.atomic():
        locked = _locked(job)
        # There may be many, and the texts are what is large.
        runs = locked.runs.defer("output", "asked")
        found = list(runs.filter(status__in=ACTIVE).order_by("slot", "id"))
        ids = [run.pk for run in found]
        cancelling.ask(ids, reason=reason.strip() or CANCELLED, now=now)
        for run in found:
            if run.cancel_requested_at is None:
                audit_notes.cancelled(run, reason=reason)
    cancelling.withdraw(now)
    stand = runs.in_bulk(ids)
    return [stand[pk] for pk in ids if pk in stand]


def _check_reason(reason: str) -> None:
    if len(reason.strip()) > LONGEST_REASON:
        raise ValidationError({"reason": f"Give at most {LONGEST_REASON} characters."})


def review(job: CronJob, *, decision: str, now: datetime) -> int:
    """Decide on the missed times of a job that asks a person: leave all out, make up for all by one
    run, or run each. How many runs were queued; 0 if somebody else has decided.

    Raises `ValidationError` if there is no such decision.
    """
    if decision not in DECISIONS:
        raise ValidationError({"decision": f"Decide on one of {', '.join(DECISIONS)}."})
    with transaction.atomic():
        locked = _locked(job)
        missed = locked.runs.filter(needs_review=True, status=RunStatus.MISSED)
        count, latest = missed.count(), missed.order_by("-slot").first()
        if latest is None:
            return 0
        queued = _decide(missed, latest, decision, now)
        messages.tell(places.promote([locked], now))
        audit_notes.reviewed(locked, decision=decision, missed=count, queued=queued)
    return queued


def _decide(missed: QuerySet[CronRun], latest: CronRun, decision: str, now: datetime) -> int:
    """Leave out what is not made up for, and queue the rest; how many. However many have come
    together over the years, a statement each."""
    if decision == REPLAY_ALL:
        return _queue(missed, now)
    if decision == SKIP:
        missed.update(needs_review=False, reason=LEFT_OUT)
        return 0
    others = missed.exclude(pk=latest.pk)
    others.update(needs_review=False, reason=MADE_UP_FOR.format(slot=latest.slot))
    return _queue(missed.filter(pk=latest.pk), now)


def _queue(missed: QuerySet[CronRun], now: datetime) -> int:
    """Have them made, one after the other: they have places in the order of their slots."""
    return missed.update(
        status=RunStatus.QUEUED,
        trigger=RunTrigger.REPLAY,
        needs_review=False,
        reason="",
        queued_at=now,
        due_at=now,
        finished_at=None,
    )


def _locked(job: CronJob) -> CronJob:
    try:
        return CronJob.objects.select_for_update().get(pk=job.pk)
    except CronJob.DoesNotExist:
        raise ValidationError("The scheduled prompt has been deleted.", code="deleted") from None
