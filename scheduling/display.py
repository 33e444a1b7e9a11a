"""How jobs and runs are shown in the console."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from providers.display import Tone, badge
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.views import job_state

RUN_TONES: dict[str, Tone] = {
    RunStatus.QUEUED: "busy",
    RunStatus.RUNNING: "busy",
    RunStatus.SUCCEEDED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.SKIPPED: "quiet",
    RunStatus.BLOCKED_BY_BUDGET: "warning",
    RunStatus.UNCONFIRMED: "warning",
}
JOB_STATES: dict[str, tuple[str, Tone]] = {
    "active": ("Active", "good"),
    "paused": ("Paused", "warning"),
    "finished": ("Finished", "quiet"),
}


def run_status(run: CronRun) -> SafeString:
    """A run's status as a coloured word."""
    return badge(run.get_status_display(), RUN_TONES.get(run.status, "quiet"))


def job_badge(job: CronJob) -> SafeString:
    """A job's state as a coloured word."""
    words, tone = JOB_STATES[job_state(job)]
    return badge(words, tone)


def zone_of(job: CronJob) -> ZoneInfo:
    """The zone a job's times are shown in: its own."""
    return ZoneInfo(job.zone)


def lag(run: CronRun) -> float | None:
    """Seconds between a run's scheduled time and its beginning."""
    return None if run.started_at is None else (run.started_at - run.slot).total_seconds()


def took(run: CronRun) -> float | None:
    """Seconds a run was at work."""
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()
