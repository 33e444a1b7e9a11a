"""How jobs and runs are shown in the console."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from providers.display import Tone, badge, moment, moment_text, shortest
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.schedule import Upcoming

RUN_TONES: dict[str, Tone] = {
    RunStatus.QUEUED: "busy",
    RunStatus.RUNNING: "busy",
    RunStatus.SUCCEEDED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.WAITING_FOR_APPROVAL: "busy",
    RunStatus.SKIPPED: "quiet",
    RunStatus.MISSED: "warning",
    RunStatus.CANCELLED: "quiet",
    RunStatus.DENIED: "bad",
    RunStatus.BLOCKED_BY_BUDGET: "warning",
    RunStatus.UNCONFIRMED: "warning",
}
JOB_STATES: dict[str, tuple[str, Tone]] = {
    "active": ("Active", "good"),
    "paused": ("Paused", "warning"),
    "finished": ("Finished", "quiet"),
}


TRIGGERS = {
    RunTrigger.CATCH_UP: "caught up with late",
    RunTrigger.REPLAY: "replayed after review",
    RunTrigger.MANUAL: "run by hand",
}
# What can still be stopped.
CANCELLABLE = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING_FOR_APPROVAL)


def job_state(job: CronJob) -> str:
    """`active`, `paused`, or `finished` for a job that has no time left to run at."""
    if not job.enabled:
        return "paused"
    return "active" if job.next_slot else "finished"


def can_cancel(run: CronRun) -> bool:
    """Whether the run has not ended, and nobody has asked that it be stopped."""
    return run.status in CANCELLABLE and run.cancel_requested_at is None


def run_notes(run: CronRun) -> list[str]:
    """What is to be said of a run beside its status: what made it, and what is unusual."""
    notes = [TRIGGERS[RunTrigger(run.trigger)]] if run.trigger in TRIGGERS else []
    if run.attempt > 1:
        notes.append(f"attempt {run.attempt}")
    if run.deferrals:
        notes.append(f"put off {run.deferrals:,} time{'' if run.deferrals == 1 else 's'}")
    if run.slow:
        notes.append("slower than expected")
    if run.cancel_requested_at and run.status in CANCELLABLE:
        notes.append("being cancelled")
    if run.needs_review:
        notes.append("to be reviewed")
    return notes


def run_status(run: CronRun) -> SafeString:
    """A run's status as a coloured word."""
    return badge(run.get_status_display(), RUN_TONES.get(run.status, "quiet"))


def job_badge(job: CronJob) -> SafeString:
    """A job's state as a coloured word."""
    words, tone = JOB_STATES[job_state(job)]
    return badge(words, tone)


def marks(time: Upcoming, where: ZoneInfo) -> list[str]:
    """What is unusual of a time to come: moved or repeated by a clock change, or put off."""
    found = []
    if time.shifted:
        found.append("right after a clock change that skips its time")
    if time.repeated:
        found.append("the second time that clocks show it")
    if time.due_at != time.slot:
        found.append(f"begins at {time.due_at.astimezone(where):%H:%M:%S}")
    return found


def zone_of(job: CronJob) -> ZoneInfo:
    """The zone a job's times are shown in: its own."""
    return ZoneInfo(job.zone)


def slot_moment(slot: datetime | None, where: ZoneInfo) -> str:
    """A scheduled time; to the second where it is of seconds, as every other one of a job that runs
    every two seconds is."""
    return moment(slot, where, precision=shortest(slot) if slot else "minute")


def slot_text(slot: datetime, where: ZoneInfo) -> str:
    """The same as plain text."""
    return moment_text(slot, where, precision=shortest(slot))


def lag(run: CronRun) -> float | None:
    """Seconds between a run's scheduled time and its beginning."""
    return None if run.started_at is None else (run.started_at - run.slot).total_seconds()


def took(run: CronRun) -> float | None:
    """Seconds a run was at work."""
    if run.started_at is None or run.finished_at is None:
        return None
    # One that was cancelled before its time had come took none.
    return max(0.0, (run.finished_at - run.started_at).total_seconds())
