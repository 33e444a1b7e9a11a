"""Turns due jobs into queued runs. Any number of processes may do this at once.

What keeps a scheduled time from being run twice is the database: the job's row is locked while its
runs are inserted and it is moved on, and a run is unique by job and time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from scheduling import cancelling, messages, places
from scheduling.due import unsent
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import Occupant, Places, place
from scheduling.planning import GRACE, Plan, Rules, Tick, plan

logger = logging.getLogger(__name__)
# Few enough that the transaction is short, enough that a thousand at once are soon done.
MOST_JOBS_A_TURN = 100
# After an outage a job may have hundreds: a turn ends with the job that reaches so many, for all of
# them are one transaction, which on SQLite everybody who writes waits for.
MOST_ROWS_A_TURN = 500
MOST_RUNS_RELEASED = 500
# A run is handed to a worker this long before its time, and the worker waits for it: by then all
# that had to be written has been.
AHEAD = timedelta(milliseconds=100)
RETRY_AFTER = timedelta(seconds=30)
MOVED = ("next_slot", "due_at", "run_count", "retry_at", "last_error")
TEAM_DISABLED = "The team is disabled."
REPLACED = "Cancelled in favour of the run of {slot:%Y-%m-%d %H:%M:%S} UTC."


def database_now() -> datetime:
    """The time everybody agrees on: the server's on PostgreSQL, this machine's on SQLite."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def release(now: datetime) -> int:
    """Tell the workers of the runs that are to be tried again now; how many there were."""
    if not unsent().filter(due_at__lte=now).exists():
        return 0
    with transaction.atomic():
        due = (
            unsent().filter(due_at__lte=now).order_by("due_at").select_for_update(skip_locked=True)
        )
        found = list(due.values_list("pk", flat=True)[:MOST_RUNS_RELEASED])
        released = CronRun.objects.filter(pk__in=found).update(sent_at=now)
        messages.tell(released)
    return released


def dispatch(now: datetime, *, ahead: timedelta = timedelta(0)) -> int:
    """Deal with jobs that are due, as many as fit into a turn; how many were to be had.

    With `ahead` also with those that are due that soon, if nothing of theirs is under way: whether
    there is a place for the new run is otherwise seen when it is due.

    What to do is planned before the transaction, which on SQLite makes every writer wait; if a job
    changes in between, its plan fits it no more and it is left to the next turn.
    """
    horizon = now + ahead
    planned = _plans(_of_this_turn(horizon, now), horizon)
    if not planned:
        return 0
    with transaction.atomic():
        taken = CronJob.objects.filter(pk__in=planned).select_related("team").order_by("id")
        locked = list(taken.select_for_update(skip_locked=True, of=("self",)))
        fitting = [job for job in locked if planned[job.pk].fits(job)]
        turns = _turns(fitting, planned, now)
        promoted = _write(turns, now)
        messages.tell(promoted + sum(turn.begun for turn in turns))
    left_until_due = len(fitting) - len(turns)
    return len(locked) - left_until_due


def _of_this_turn(horizon: datetime, now: datetime) -> list[CronJob]:
    """The jobs that are due. Those whose time has just come are the first, for what has waited
    through an outage is late already, and some of that has its turn too."""
    due = _due(horizon, now).prefetch_related("calendars").order_by("due_at", "id")
    jobs = list(due[:MOST_JOBS_A_TURN])
    if not jobs or _on_time(jobs[0], now):
        return jobs
    just_come = list(due.filter(due_at__gte=now - GRACE)[:MOST_JOBS_A_TURN])
    return just_come + [job for job in jobs if not _on_time(job, now)]


def _on_time(job: CronJob, now: datetime) -> bool:
    return job.due_at is not None and job.due_at >= now - GRACE


def _plans(jobs: Iterable[CronJob], horizon: datetime) -> dict[UUID, _Planned]:
    """What is to become of the jobs, up to the one that fills a turn."""
    planned, rows = {}, 0
    for job in jobs:
        found = planned[job.pk] = _plan_or_fault(job, horizon)
        rows += len(found.decided.ticks) if isinstance(found.decided, Plan) else 0
        if rows >= MOST_ROWS_A_TURN:
            break
    return planned


def _due(horizon: datetime, now: datetime) -> QuerySet[CronJob]:
    ready = Q(retry_at=None) | Q(retry_at__lte=now)
    return CronJob.objects.filter(ready, enabled=True, due_at__lte=horizon)


def rules_of(job: CronJob) -> Rules:
    """What planning must know of a job. Raises `ScheduleFault` if its schedule cannot be used."""
    return Rules(
        job_id=job.pk,
        schedule=job.schedule,
        jitter_seconds=job.jitter_seconds,
        misfire=job.misfire,
        catch_up_limit=job.catch_up_limit,
        catch_up_within=timedelta(hours=job.catch_up_hours),
        runs_left=job.runs_left,
    )


@dataclass(frozen=True, slots=True)
class _Planned:
    """What was decided of a job, or why nothing could be, and of which state of it."""

    revision: int
    next_slot: datetime | None
    decided: Plan | Exception

    def fits(self, job: CronJob) -> bool:
        """Whether the job still is what was planned for."""
        return job.enabled and (job.revision, job.next_slot) == (self.revision, self.next_slot)


def _plan_or_fault(job: CronJob, now: datetime) -> _Planned:
    try:
        # A process of an older version moves the slot on and leaves the time it is due behind.
        due = job.next_slot or job.due_at or now
        decided: Plan | Exception = plan(rules_of(job), due=due, now=now)
    except Exception as error:
        # Whatever is wrong with one job must not keep the others from running.
        decided = error
    return _Planned(job.revision, job.next_slot, decided)


@dataclass(slots=True)
class _Turn:
    """What becomes of one job in this turn: its runs, and those that are cancelled for them."""

    job: CronJob
    runs: list[CronRun] = field(default_factory=list)
    cancels: dict[UUID, str] = field(default_factory=dict)
    fault: Exception | None = None

    @property
    def begun(self) -> int:
        """How many of its runs a worker can begin now."""
        return sum(run.status == RunStatus.QUEUED and run.lane is not None for run in self.runs)


def _turns(jobs: Sequence[CronJob], planned: dict[UUID, _Planned], now: datetime) -> list[_Turn]:
    taken = places.read(jobs)
    had = _rows_there_are({job.pk: planned[job.pk].decided for job in jobs})
    turns = []
    for job in jobs:
        if job.due_at is not None and job.due_at > now and not taken[job.pk].has_room:
            continue
        decided, turn = planned[job.pk].decided, _Turn(job)
        if isinstance(decided, Plan):
            _carry_out(turn, decided, taken[job.pk], had.get(job.pk, frozenset()), now)
        else:
            turn.fault = decided
        turns.append(turn)
    return turns


def _rows_there_are(decided: dict[UUID, Plan | Exception]) -> dict[UUID, set[datetime]]:
    """The times that have had their run: the clock was set back, or the job's time was."""
    slots = {tick.slot for one in decided.values() if isinstance(one, Plan) for tick in one.ticks}
    found: dict[UUID, set[datetime]] = {}
    rows = CronRun.objects.filter(job__in=decided, slot__in=slots)
    rows = rows.exclude(trigger=RunTrigger.MANUAL)
    for job_id, slot in rows.values_list("job_id", "slot"):
        found.setdefault(job_id, set()).add(slot)
    return found


def _carry_out(
    turn: _Turn, decided: Plan, taken: Places, had: Iterable[datetime], now: datetime
) -> None:
    job = turn.job
    # The time that is due now has its turn after those that are caught up with.
    in_line = any(tick.trigger == "catch_up" for tick in decided.ticks)
    for tick in decided.ticks:
        if tick.slot in had:
            continue
        run = _run_of(job, tick, now)
        if not tick.missed:
            taken = _place(turn, run, taken, in_line=in_line)
        turn.runs.append(run)
    job.run_count += sum(run.status == RunStatus.QUEUED for run in turn.runs)
    job.next_slot, job.due_at = _next_of(job, decided)
    job.retry_at, job.last_error = None, ""


def _run_of(job: CronJob, tick: Tick, now: datetime) -> CronRun:
    return CronRun(
        job=job,
        slot=tick.slot,
        trigger=tick.trigger,
        status=RunStatus.MISSED if tick.missed else RunStatus.QUEUED,
        reason=tick.reason,
        missed_before=tick.missed_before,
        needs_review=tick.needs_review,
        queued_at=now,
        due_at=tick.due_at,
        finished_at=now if tick.missed else None,
    )


def _place(turn: _Turn, run: CronRun, taken: Places, *, in_line: bool) -> Places:
    """Give the run its place, or say why it has none; the places as they are taken then."""
    if not turn.job.team.enabled:
        return _skip(run, TEAM_DISABLED, taken)
    scheduled = run.trigger == RunTrigger.SCHEDULE
    verdict = place(taken, in_line=in_line, scheduled=scheduled)
    if verdict.obstacle:
        return _skip(run, verdict.obstacle, taken)
    reason = REPLACED.format(slot=run.slot)
    turn.cancels |= dict.fromkeys(verdict.cancels, reason)
    for earlier in turn.runs:
        if earlier.pk in verdict.cancels:
            earlier.status, earlier.reason = RunStatus.CANCELLED, reason
            earlier.finished_at = run.queued_at
    occupant = Occupant(
        id=run.pk, slot=run.slot, state="still waiting to begin", scheduled=scheduled
    )
    if verdict.lane is None:
        kept = tuple(one for one in taken.waiting if one.id not in verdict.cancels)
        return replace(taken, waiting=(*kept, occupant))
    run.lane, run.sent_at = verdict.lane, run.queued_at
    return replace(taken, lanes={**taken.lanes, verdict.lane: occupant})


def _skip(run: CronRun, why: str, taken: Places) -> Places:
    run.status, run.reason, run.finished_at = RunStatus.SKIPPED, why, run.queued_at
    return taken


def _next_of(job: CronJob, decided: Plan) -> tuple[datetime | None, datetime | None]:
    """Where the job goes on. Runs that were skipped for want of a place were not the last ones."""
    if job.runs_left == 0:
        return None, None
    if decided.next_slot is not None or job.max_runs is None or not decided.ticks:
        return decided.next_slot, decided.next_due
    return job.first_due(job.schedule, decided.ticks[-1].slot)


def _write(turns: Sequence[_Turn], now: datetime) -> int:
    """Insert what the turns made, all at once; should that fail, each for itself, so that one job
    does not keep the others from running. How many waiting runs got a place by it."""
    sound = [turn for turn in turns if turn.fault is None]
    try:
        with transaction.atomic():
            promoted = _write_together(sound, now)
    except Error:
        promoted = sum(_write_alone(turn, now) for turn in sound)
    for turn in turns:
        if turn.fault is not None:
            _record_fault(turn.job, turn.fault, now)
    return promoted


def _write_alone(turn: _Turn, now: datetime) -> int:
    try:
        with transaction.atomic():
            return _write_together([turn], now)
    except Error as error:
        turn.fault, turn.runs = error, []
        return 0


def _write_together(turns: Sequence[_Turn], now: datetime) -> int:
    _cancel(turns, now)
    CronRun.objects.bulk_create([run for turn in turns for run in turn.runs])
    CronJob.objects.bulk_update([turn.job for turn in turns], MOVED)
    return places.promote([turn.job for turn in turns if turn.cancels], now)


def _cancel(turns: Sequence[_Turn], now: datetime) -> None:
    for turn in turns:
        for run_id, reason in turn.cancels.items():
            cancelling.ask([run_id], reason=reason, now=now)


def _record_fault(job: CronJob, error: Exception, now: datetime) -> None:
    logger.warning("The scheduled prompt %s could not be started: %s", job.pk, error)
    words = "the database refused its run." if isinstance(error, Error) else str(error)
    CronJob.objects.filter(pk=job.pk).update(
        last_error=f"It could not be started: {words}"[:500], retry_at=now + RETRY_AFTER
    )
