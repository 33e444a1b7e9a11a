"""What `palyra cron status` says to programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from providers.api.conventions import moment_text
from scheduling.standing import Standing


def status_json(found: Standing) -> dict[str, Any]:
    """How scheduling stands, as JSON."""
    return {
        "processes": [
            {
                "role": one.role,
                "host": one.host,
                "pid": one.pid,
                "started_at": moment_text(one.started_at),
                "seen_at": moment_text(one.seen_at),
            }
            for one in found.processes
        ],
        "enabled": found.enabled,
        "paused": found.paused,
        "due": found.due,
        "next_due": _moment(found.next_due),
        "runs": dict(found.runs),
        "queued_since": _moment(found.queued_since),
        "set_aside": {str(job.pk): job.last_error for job in found.set_aside},
        "to_review": {str(job.pk): count for job, count in found.to_review},
        "failures": [
            {
                "id": str(run.pk),
                "job_id": str(run.job_id),
                "status": run.status,
                "reason": run.reason,
            }
            for run in found.failures
        ],
        "faults": found.faults,
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else moment_text(value)
