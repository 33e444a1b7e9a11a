"""What to do with a job that is due: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from scheduling.schedule import Kind, Schedule, between, latest, next_after

# Counting a year of missed minutes would hold up every other job.
MOST_MISSED_COUNTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """The run of a job that has not ended yet."""

    slot: datetime
    started: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The run of `slot` is queued, or skipped for `obstacle`; the job is next due at `next_slot`.

    `missed_before` counts the earlier scheduled times that are passed over, up to
    `MOST_MISSED_COUNTED`.
    """

    slot: datetime
    missed_before: int
    next_slot: datetime | None
    obstacle: str = ""

    @property
    def reason(self) -> str:
        """What the run's row says of it; empty for one that simply runs."""
        if self.obstacle:
            return self.obstacle
        if self.missed_before == MOST_MISSED_COUNTED:
            return f"At least {MOST_MISSED_COUNTED:,} scheduled times before it were missed."
        return ""

    def facing(self, *, team_enabled: bool, active: ActiveRun | None) -> Plan:
        """The same plan with what stands in its way at the moment it is carried out."""
        return replace(self, obstacle=_obstacle(team_enabled, active))


def plan(schedule: Schedule, *, due: datetime, now: datetime) -> Plan:
    """Decide on a job whose time `due` is not later than `now`.

    Of several missed times only the latest is dealt with, and the row says how many were not.
    """
    slot = latest(schedule, due, now)
    return Plan(
        slot=slot,
        missed_before=_count(schedule, due, slot),
        next_slot=next_after(schedule, slot),
    )


def _obstacle(team_enabled: bool, active: ActiveRun | None) -> str:
    if not team_enabled:
        return "The team is disabled."
    if active is None:
        return ""
    state = "still under way" if active.started else "still waiting"
    return f"The run of {active.slot:%Y-%m-%d %H:%M:%S} UTC was {state}; one runs at a time."


def _count(schedule: Schedule, due: datetime, slot: datetime) -> int:
    """The times from `due` on and before `slot`."""
    if schedule.kind is Kind.EVERY:
        assert schedule.every_seconds is not None
        passed = int((slot - due).total_seconds()) // schedule.every_seconds
        return min(passed, MOST_MISSED_COUNTED)
    return len(between(schedule, due, slot, MOST_MISSED_COUNTED))
