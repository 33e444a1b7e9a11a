"""What operators do to scheduled prompts that no saved field says by itself, in the audit trail.

Each is entered under the scheduled prompt, so that its history tells all, in the transaction of the
deed. What the system does by itself is no deed of anybody's and is not entered.
"""

from __future__ import annotations

from typing import Any

from governance import acting, audit
from scheduling.models import CronJob, CronRun

RAN = "run now"
CANCELLED = "run cancelled"
REVIEWED = "missed times reviewed"


def ran_now(run: CronRun) -> None:
    """Somebody had the job run once, beside its schedule."""
    told: dict[str, list[Any]] = {"run": [None, str(run.pk)]}
    if run.parameters:
        told["parameters"] = [None, run.parameters]
    _enter(RAN, run.job, told)


def cancelled(run: CronRun, *, reason: str) -> None:
    """Somebody cancelled a run of the job, or asked that it be."""
    _enter(CANCELLED, run.job, {"run": [str(run.pk), None]}, reason)


def reviewed(job: CronJob, *, decision: str, missed: int, queued: int) -> None:
    """Somebody decided what becomes of `missed` times, of which `queued` are made up for."""
    _enter(
        REVIEWED, job, {"decision": [None, decision], "missed": [missed, 0], "queued": [0, queued]}
    )


def _enter(action: str, job: CronJob, told: dict[str, list[Any]], reason: str = "") -> None:
    if not acting.current().is_system:
        audit.record(action, job, told, reason=reason)
