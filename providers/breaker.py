"""The breaker of one provider's credential: a pure state machine.

Closed, calls go through and failures in a row are counted. At the threshold it opens, and calls are
refused for a cooldown. Then one call, the probe, may go through: it is half open. A probe that
succeeds closes it, one that fails opens it for a new cooldown, and one that is never heard of again
expires, after which another may be claimed. Tripped by hand, it stays open until it is reset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Verdict(Enum):
    """Whether an attempt may be made now."""

    PASS = "pass"  # noqa: S105 - no password
    PROBE = "probe"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker at one instant; `retry_at` is when a probe may go through, if it is open."""

    verdict: Verdict
    retry_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of a breaker. `failures` are those in a row; `probe` is the one under way."""

    state: str = CLOSED
    failures: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    probe: UUID | None = None
    probe_expires_at: datetime | None = None
    failure_class: str = ""
    message: str = ""
    tripped_by: str = ""

    @property
    def unharmed(self) -> bool:
        """Whether it is closed with nothing against it."""
        return self.state == CLOSED and not self.failures


@dataclass(frozen=True, slots=True)
class Settings:
    """When it opens, and for how long."""

    threshold: int
    cooldown: timedelta


WELL = Status()
PASSES = BreakerView(Verdict.PASS)


def view(status: Status, now: datetime) -> BreakerView:
    """Whether an attempt may be made at `now`."""
    if status.state == CLOSED:
        return PASSES
    if status.tripped_by:
        return BreakerView(
            Verdict.REFUSE, message=f"Taken out of use by {status.tripped_by} until it is reset."
        )
    if may_claim(status, now):
        return BreakerView(Verdict.PROBE, status.retry_at, status.message)
    if status.state == HALF_OPEN:
        return BreakerView(
            Verdict.REFUSE,
            status.probe_expires_at,
            f"Held back while one call finds out whether it is well again.{_last(status)}",
        )
    return BreakerView(
        Verdict.REFUSE,
        status.retry_at,
        f"Held back for a while after {_failures(status.failures)} in a row.{_last(status)}",
    )


def may_claim(status: Status, now: datetime) -> bool:
    """Whether a probe may be claimed: its time has come, and none is under way."""
    if status.tripped_by:
        return False
    if status.state == HALF_OPEN:
        return status.probe_expires_at is None or status.probe_expires_at <= now
    return status.state == OPEN and (status.retry_at is None or status.retry_at <= now)


def claimed(status: Status, probe: UUID, *, now: datetime, expires_at: datetime) -> Status | None:
    """Half open with `probe` under way; None if it may not be claimed."""
    if not may_claim(status, now):
        return None
    return replace(status, state=HALF_OPEN, probe=probe, probe_expires_at=expires_at)


def succeeded(status: Status, probe: UUID | None) -> Status:
    """After an answer. One that began before the breaker opened says nothing of now."""
    if status.state == CLOSED or _is_under_way(status, probe):
        return WELL
    return status


def failed(
    status: Status,
    settings: Settings,
    *,
    failure_class: str,
    message: str,
    now: datetime,
    probe: UUID | None,
) -> Status:
    """After a failure that counts. Late ones, begun before it opened, change nothing."""
    if status.state != CLOSED and not _is_under_way(status, probe):
        return status
    harmed = replace(
        status, failures=status.failures + 1, failure_class=failure_class, message=message
    )
    if status.state == CLOSED and harmed.failures < settings.threshold:
        return harmed
    return replace(
        harmed,
        state=OPEN,
        opened_at=now,
        retry_at=now + settings.cooldown,
        probe=None,
        probe_expires_at=None,
    )


def given_back(status: Status, probe: UUID) -> Status:
    """After a probe that found out nothing: another may be claimed at once."""
    if not _is_under_way(status, probe):
        return status
    return replace(status, state=OPEN, probe=None, probe_expires_at=None)


def tripped(status: Status, *, by: str, now: datetime) -> Status:
    """Open by hand, until `WELL` again by hand."""
    return replace(
        status,
        state=OPEN,
        opened_at=now,
        retry_at=None,
        probe=None,
        probe_expires_at=None,
        tripped_by=by or "an operator",
    )


def _is_under_way(status: Status, probe: UUID | None) -> bool:
    return status.state == HALF_OPEN and probe is not None and status.probe == probe


def _last(status: Status) -> str:
    return f" The last one: {status.message}" if status.message else ""


def _failures(failures: int) -> str:
    return "1 failure" if failures == 1 else f"{failures} failures"
