"""What becomes of a job's scheduled times once they are due: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from providers.display import duration
from scheduling import schedule as schedules
from scheduling.counting import count_before, counted_words, last_ones
from scheduling.jitter import due_time
from scheduling.schedule import Schedule, next_after

__all__ = ["GRACE", "Plan", "Rules", "Tick", "due_time", "plan"]

# A run that begins later than this after its time was missed.
GRACE = timedelta(seconds=60)
# Rows for missed times a plan makes at most; those before them are only counted.
MOST_MISSED_ROWS = 100
WHY_NOT_RUN = {
    "skip": "Missed times of this prompt are skipped.",
    "run_once": "One run of a later time makes up for it.",
    "catch_up": "Of missed times the last {limit} within {within} are caught up with.",
    "review": "A person is to say whether it is made up for.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a plan needs to know of a job.

    `misfire` is one of the model's `MisfirePolicy`; `runs_left` is how many more scheduled times
    may run, None for any number.
    """

    job_id: UUID
    schedule: Schedule
    jitter_seconds: int
    misfire: str
    catch_up_limit: int
    catch_up_within: timedelta
    runs_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One scheduled time: it is to run, or it was missed and only gets a row that says so.

    `missed_before` counts the scheduled times before it that get none.
    """

    slot: datetime
    due_at: datetime
    trigger: Literal["schedule", "catch_up"] = "schedule"
    missed: bool = False
    needs_review: bool = False
    missed_before: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The ticks in the order of their slots, and the job's next slot, if any, with its time."""

    ticks: tuple[Tick, ...]
    next_slot: datetime | None
    next_due: datetime | None


def plan(rules: Rules, *, due: datetime, now: datetime) -> Plan:
    """Decide on the scheduled times from `due`, the job's next slot, that are to begin by `now`.

    The last of them runs if it is on time, that is at most `GRACE` late. All others were missed,
    and what becomes of them is the job's misfire policy.
    """
    schedule = rules.schedule
    # A day may have been excluded since the slot was found.
    first = due if schedules.admits(schedule, due) else next_after(schedule, due)
    if first is None or rules.runs_left == 0:
        return Plan(ticks=(), next_slot=None, next_due=None)
    last = _last_due(rules, first, now)
    ticks = _ticks(rules, first, last, now) if last else []
    ticks, used_up = _bounded(ticks, rules.runs_left)
    next_slot = next_after(schedule, last) if last else first
    if used_up or next_slot is None:
        return Plan(ticks=tuple(ticks), next_slot=None, next_due=None)
    return Plan(ticks=tuple(ticks), next_slot=next_slot, next_due=_due(rules, next_slot))


def _due(rules: Rules, slot: datetime) -> datetime:
    if not rules.jitter_seconds:
        return slot
    following = next_after(rules.schedule, slot)
    return due_time(rules.job_id, slot, rules.jitter_seconds, following)


def _last_due(rules: Rules, first: datetime, now: datetime) -> datetime | None:
    """The last slot that is to begin by `now`, or None."""
    if first > now:
        return None
    last = schedules.latest(rules.schedule, first, now)
    if _due(rules, last) <= now:
        return last
    # The one before it begins before it, jittered or not.
    before = last_ones(rules.schedule, first, last, 2)[:-1]
    return before[0] if before else None


def _ticks(rules: Rules, first: datetime, last: datetime, now: datetime) -> list[Tick]:
    """What becomes of the slots from `first` to `last` if any number may run."""
    recent = _recent(rules, first, last)
    on_time = recent[-1].due_at >= now - GRACE
    missed = recent[:-1] if on_time else recent
    begin = len(missed) - _made_up_for(rules, missed, on_time, now)
    rows = missed[max(0, begin - MOST_MISSED_ROWS) : begin]
    ticks = [
        *(_as_missed(rules, tick, now) for tick in rows),
        *(_as_made_up_for(tick, now) for tick in missed[begin:]),
        *(recent[-1:] if on_time else []),
    ]
    before = count_before(rules.schedule, first, ticks[0].slot)
    ticks[0] = _after_others(rules.schedule, ticks[0], before)
    if rules.misfire == "run_once" and len(ticks) > 1 and not on_time:
        ticks[-1] = _for_others(rules.schedule, ticks[-1], len(rows), before)
    return ticks


def _recent(rules: Rules, first: datetime, last: datetime) -> list[Tick]:
    """All slots that may get a row, as ticks on time."""
    most = MOST_MISSED_ROWS + rules.catch_up_limit + 1
    slots = last_ones(rules.schedule, first, last, most)
    following = [*slots[1:], next_after(rules.schedule, last)]
    return [
        Tick(slot=slot, due_at=due_time(rules.job_id, slot, rules.jitter_seconds, later))
        for slot, later in zip(slots, following, strict=True)
    ]


def _made_up_for(rules: Rules, missed: Sequence[Tick], on_time: bool, now: datetime) -> int:
    """How many of the missed ones, the last of them, are run after all."""
    if rules.misfire == "run_once":
        # One that is on time makes up for the others.
        return 0 if on_time else 1
    if rules.misfire == "catch_up":
        late = missed[-rules.catch_up_limit :]
        return sum(tick.slot >= now - rules.catch_up_within for tick in late)
    return 0


def _as_missed(rules: Rules, tick: Tick, now: datetime) -> Tick:
    why = WHY_NOT_RUN[rules.misfire].format(
        limit=rules.catch_up_limit, within=duration(rules.catch_up_within.total_seconds())
    )
    return replace(
        tick,
        missed=True,
        needs_review=rules.misfire == "review",
        reason=f"It was missed: {_lateness(tick, now)}. {why}",
    )


def _as_made_up_for(tick: Tick, now: datetime) -> Tick:
    return replace(tick, trigger="catch_up", reason=f"It is made up for: {_lateness(tick, now)}.")


def _lateness(tick: Tick, now: datetime) -> str:
    late = duration((now - tick.due_at).total_seconds())
    return f"it was {late} late when a scheduler came to it"


def _after_others(schedule: Schedule, tick: Tick, count: int) -> Tick:
    """The first tick, which says how many times before it get no row."""
    if not count:
        return tick
    were = "was" if count == 1 else "were"
    words = (
        f"{counted_words(schedule, count)} before it {were} missed{' too' if tick.missed else ''}."
    )
    words = f"{words[0].upper()}{words[1:]}"
    return replace(tick, missed_before=count, reason=f"{tick.reason} {words}".strip())


def _for_others(schedule: Schedule, tick: Tick, rows: int, before: int) -> Tick:
    words = counted_words(schedule, before, rows)
    return replace(tick, reason=f"{tick.reason} It also makes up for {words} before it.")


def _bounded(ticks: list[Tick], runs_left: int | None) -> tuple[list[Tick], bool]:
    """The ticks up to the last that may run, and whether that was the job's last run."""
    if runs_left is None:
        return ticks, False
    running = [position for position, tick in enumerate(ticks) if not tick.missed]
    if len(running) < runs_left:
        return ticks, False
    return ticks[: running[runs_left - 1] + 1], True
