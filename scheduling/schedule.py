"""When a job runs: pure functions from a schedule and a time to other times.

Times go in and come out in UTC. A cron expression names local times in the job's zone; how those
become instants where the clock changes is the rule of Debian's cron:

- A job whose minute or hour field begins with `*` follows real time: a skipped local time does not
  come, a repeated one comes twice.
- Any other job is meant for a wall-clock time: one that is skipped by a change of at most three
  hours comes right after it, and a repeated one comes once, the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from governance.zones import zone as named_zone
from scheduling import cron as cron_expressions
from scheduling.cron import CronExpression, CronFault
from scheduling.sentences import at_sentence, cron_sentence, every_sentence

LONGEST_GAP_TO_MAKE_UP = timedelta(hours=3)
# Ten years: more is a slip of the hand.
MAX_EVERY_SECONDS = 10 * 366 * 24 * 3600
ONE_MINUTE = timedelta(minutes=1)
ONE_SECOND = timedelta(seconds=1)


class Kind(StrEnum):
    """How a schedule says when; each is also the name of the field that says it."""

    CRON = "cron"
    EVERY = "every"
    AT = "at"


FIELD_OF = {Kind.CRON: "cron", Kind.EVERY: "every_seconds", Kind.AT: "at"}


class ScheduleFault(ValueError):
    """A schedule cannot be used; `faults` holds sentences by the name of the field at fault."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        super().__init__(" ".join(reason for reasons in faults.values() for reason in reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A checked schedule. `every` counts from `anchor_at`: slot n is the anchor plus n times it."""

    kind: Kind
    cron: str = ""
    every_seconds: int | None = None
    at: datetime | None = None
    zone: str = "UTC"
    anchor_at: datetime


def parse(
    *,
    kind: str,
    cron: str = "",
    every_seconds: int | None = None,
    at: datetime | None = None,
    zone: str = "UTC",
    anchor_at: datetime,
) -> Schedule:
    """Check the fields of a schedule. Raises `ScheduleFault` with every fault.

    Whether `at` has passed is not looked at here: a stored job's time passes by itself.
    """
    found = faults(kind=kind, cron=cron, every_seconds=every_seconds, at=at, zone=zone)
    if found:
        raise ScheduleFault(found)
    return Schedule(
        kind=Kind(kind),
        cron=cron.strip(),
        every_seconds=every_seconds,
        at=at,
        zone=zone,
        anchor_at=anchor_at,
    )


def faults(
    *, kind: str, cron: str, every_seconds: int | None, at: datetime | None, zone: str
) -> dict[str, list[str]]:
    """What is wrong with the fields of a schedule, by field; empty if nothing is."""
    found: dict[str, list[str]] = {}
    try:
        named_zone(zone)
    except ValueError as error:
        found["zone"] = [str(error)]
    if kind not in set(Kind):
        found["schedule_kind"] = [f"{kind!r} is not one of {', '.join(Kind)}."]
        return found
    own = FIELD_OF[Kind(kind)]
    given = {"cron": cron.strip(), "every_seconds": every_seconds, "at": at}
    for field, value in given.items():
        reasons = _own_faults(field, value) if field == own else _foreign_faults(value, kind)
        if reasons:
            found[field] = reasons
    return found


def at_fault(at: datetime, now: datetime) -> str | None:
    """Why a new one-time job cannot be for `at`, or None if it can."""
    if at > now:
        return None
    return f"That time has passed: it is {now:%Y-%m-%d %H:%M:%S} UTC. Give a time to come."


def local_time(label: datetime, zone: str) -> datetime:
    """The instant, in UTC, at which clocks in `zone` show the naive `label`.

    One that is skipped gives the first instant after the gap, a repeated one its first time.
    """
    where = named_zone(zone)
    instants = _instants(label, where)
    return instants[0] if instants else _end_of_gap(label, where)


def next_after(schedule: Schedule, after: datetime) -> datetime | None:
    """The first scheduled time later than `after`, in UTC; None if there is none."""
    after = after.astimezone(UTC)
    if schedule.kind is Kind.EVERY:
        return _next_interval(schedule, after)
    if schedule.kind is Kind.AT:
        assert schedule.at is not None
        at = schedule.at.astimezone(UTC)
        return at if at > after else None
    return _next_cron(cron_expressions.parse(schedule.cron), named_zone(schedule.zone), after)


def times_after(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Every scheduled time later than `after`, in order, in UTC; most schedules never end."""
    found = next_after(schedule, after)
    while found is not None:
        yield found
        found = next_after(schedule, found)


def upcoming(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next `count` scheduled times after `after`, in UTC; fewer if the schedule ends."""
    return list(islice(times_after(schedule, after), count))


def between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The scheduled times after `after` up to and with `until`, at most `limit`, in UTC."""
    found: list[datetime] = []
    for slot in times_after(schedule, after):
        if slot > until or len(found) == limit:
            break
        found.append(slot)
    return found


def latest(schedule: Schedule, due: datetime, until: datetime) -> datetime:
    """The last scheduled time not later than `until`, given one (`due`) that is not.

    Halves the time in question instead of walking it: an hour and a year cost about the same.
    """
    low, high = due, until
    while high - low > ONE_SECOND:
        middle = low + (high - low) / 2
        found = next_after(schedule, middle)
        if found is not None and found <= until:
            low = found
        else:
            high = middle
    found = next_after(schedule, low)
    return found if found is not None and found <= until else low


def sentence(schedule: Schedule) -> str:
    """The schedule in plain words, such as “At 09:00 on weekdays, Europe/Prague”."""
    if schedule.kind is Kind.EVERY:
        return every_sentence(schedule.every_seconds or 0)
    if schedule.kind is Kind.AT:
        assert schedule.at is not None
        return at_sentence(schedule.at.astimezone(named_zone(schedule.zone)), schedule.zone)
    return cron_sentence(cron_expressions.parse(schedule.cron), schedule.zone)


def _own_faults(field: str, value: object) -> list[str]:
    if field == "cron":
        try:
            cron_expressions.parse(str(value))
        except CronFault as fault:
            return list(fault.reasons)
    elif value is None:
        return ["Give the number of seconds." if field == "every_seconds" else "Give the time."]
    elif isinstance(value, int) and not 1 <= value <= MAX_EVERY_SECONDS:
        return [f"Give a number of seconds from 1 to {MAX_EVERY_SECONDS:,}."]
    elif isinstance(value, datetime) and value.tzinfo is None:
        return ["The time has no zone."]
    return []


def _foreign_faults(value: object, kind: str) -> list[str]:
    if value in {None, ""}:
        return []
    return [f"Leave this empty: it has no meaning for a schedule of the kind “{kind}”."]


def _next_interval(schedule: Schedule, after: datetime) -> datetime:
    assert schedule.every_seconds is not None
    interval = timedelta(seconds=schedule.every_seconds)
    anchor = schedule.anchor_at.astimezone(UTC)
    # Floor division of timedeltas is exact, so the grid never drifts.
    return anchor + max(1, (after - anchor) // interval + 1) * interval


def _next_cron(expression: CronExpression, where: ZoneInfo, after: datetime) -> datetime | None:
    local = after.astimezone(where)
    found = _first_to_come(expression, where, after)
    if not expression.wildcard or not _will_repeat(local):
        return found
    # Clocks will show this hour again, and what lies behind us in it comes a second time.
    again = _first_of_second_pass(expression, where, after)
    return min((time for time in (found, again) if time is not None), default=None)


def _first_to_come(expression: CronExpression, where: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant later than `after` of a label later than what clocks show then."""
    label = cron_expressions.next_label(expression, _wall_clock(after, where))
    while label is not None:
        instants = _instants(label, where)
        if not instants and not expression.wildcard:
            instants = _made_up(label, where)
        elif not expression.wildcard:
            instants = instants[:1]
        for instant in instants:
            if instant > after:
                return instant
        if not instants:
            label = _wall_clock(_end_of_gap(label, where), where) - ONE_MINUTE
        label = cron_expressions.next_label(expression, label)
    return None


def _first_of_second_pass(
    expression: CronExpression, where: ZoneInfo, after: datetime
) -> datetime | None:
    local = after.astimezone(where)
    longest = _offset(local) - _offset(local.replace(fold=1))
    start = _wall_clock(_change_between(where, after, after + longest), where)
    label = cron_expressions.next_label(expression, start - ONE_MINUTE)
    instants = _instants(label, where) if label is not None else []
    return instants[-1] if instants else None


def _instants(label: datetime, where: ZoneInfo) -> list[datetime]:
    """When clocks in `where` show `label`: once, twice where it repeats, never in a gap."""
    first = label.replace(tzinfo=where, fold=0).astimezone(UTC)
    second = label.replace(tzinfo=where, fold=1).astimezone(UTC)
    if second < first:
        return []
    return [first] if first == second else [first, second]


def _made_up(label: datetime, where: ZoneInfo) -> list[datetime]:
    """When a fixed-time job whose `label` is skipped runs instead."""
    gap = _offset(label.replace(tzinfo=where, fold=1)) - _offset(label.replace(tzinfo=where))
    return [_end_of_gap(label, where)] if gap <= LONGEST_GAP_TO_MAKE_UP else []


def _end_of_gap(label: datetime, where: ZoneInfo) -> datetime:
    """The first instant after the gap in which `label` lies."""
    before = label.replace(tzinfo=where, fold=1).astimezone(UTC)
    behind = label.replace(tzinfo=where, fold=0).astimezone(UTC)
    return _change_between(where, before, behind)


def _change_between(where: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The second at which the UTC offset changes, given an instant before it and one not."""
    offset = _offset(low.astimezone(where))
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > ONE_SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if _offset(middle.astimezone(where)) == offset:
            low = middle
        else:
            high = middle
    return high


def _will_repeat(local: datetime) -> bool:
    return _offset(local) > _offset(local.replace(fold=1))


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None
    return offset


def _wall_clock(instant: datetime, where: ZoneInfo) -> datetime:
    return instant.astimezone(where).replace(tzinfo=None, fold=0)
