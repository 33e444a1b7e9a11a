"""What follows from how an attempt ended: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from scheduling.models import RunStatus

LONGEST_BACKOFF = timedelta(hours=1)
FIRST_DEFERRAL = timedelta(seconds=1)
LONGEST_DEFERRAL = timedelta(seconds=20)
# A call that found no place for so long is not put off any more.
DEFERRED_AT_MOST = timedelta(hours=1)
# Those that count against a job which is to be paused after so many failures in a row.
FAILURES = (
    RunStatus.FAILED,
    RunStatus.BLOCKED_BY_BUDGET,
    RunStatus.DENIED,
    RunStatus.UNCONFIRMED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt ended, with the run's `columns` that say so.

    `passes` says that the same attempt may succeed later; `retry_after` is how many seconds later
    at the soonest, if somebody said. With `deferred` nothing was sent for want of a place, and it
    was no attempt at all.
    """

    status: RunStatus
    reason: str = ""
    failure_class: str = ""
    passes: bool = False
    deferred: bool = False
    retry_after: float | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure of the job."""
        return self.status in FAILURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """What a job allows, and how much of it a run has had: attempts are those begun, the one that
    ended included; `deferred_since` is when it was first put off since the last of them, if it was.
    """

    attempts: int
    deferrals: int
    deferred_since: datetime | None
    max_attempts: int
    backoff_seconds: int
    retry_unconfirmed: bool


def again_at(ended: Attempt, retries: Retries, *, now: datetime, chance: float) -> datetime | None:
    """When the run is to be tried again; None if it is not. `chance` is from 0 to 1."""
    if ended.deferred:
        return _put_off_until(ended, retries, now, chance)
    unconfirmed = ended.status == RunStatus.UNCONFIRMED and retries.retry_unconfirmed
    if not (ended.passes or unconfirmed) or retries.attempts >= retries.max_attempts:
        return None
    return now + backoff(retries, chance, ended.retry_after)


def backoff(retries: Retries, chance: float, retry_after: float | None = None) -> timedelta:
    """The pause before the next attempt: doubled with each, an hour at most, and spread over its
    second half, so that what failed together does not come back together."""
    doubled = timedelta(seconds=retries.backoff_seconds * 2.0 ** max(0, retries.attempts - 1))
    pause = min(LONGEST_BACKOFF, doubled) * (0.5 + chance / 2)
    wanted = timedelta(seconds=retry_after or 0)
    return max(pause, min(wanted, LONGEST_BACKOFF))


def _put_off_until(
    ended: Attempt, retries: Retries, now: datetime, chance: float
) -> datetime | None:
    if now - (retries.deferred_since or now) > DEFERRED_AT_MOST:
        return None
    pause = min(LONGEST_DEFERRAL, FIRST_DEFERRAL * 2.0 ** min(retries.deferrals, 10))
    wanted = timedelta(seconds=min(ended.retry_after or 0, 3600))
    return now + max(pause * (0.5 + chance / 2), wanted)
