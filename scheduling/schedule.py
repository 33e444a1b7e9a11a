"""When a job runs: pure functions from a schedule and a time to other times.

Times go in and come out in UTC. A cron expression names local times in the job's zone; what those
mean where clocks are changed is told in `cron_times`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice, zip_longest
from uuid import UUID

from governance.zones import zone as named_zone
from scheduling import cron as cron_expressions
from scheduling import cron_times
from scheduling.clock_changes import ONE_SECOND, end_of_gap, instants, wall_clock
from scheduling.cron import CronFault
from scheduling.jitter import due_time
from scheduling.sentences import at_sentence, cron_sentence, every_sentence, limits_sentence

# Ten years: more is a slip of the hand.
MAX_EVERY_SECONDS = 10 * 366 * 24 * 3600
# Far from where the calendar ends, so that every zone has a time for each moment of these years.
EARLIEST_YEAR, LATEST_YEAR = 2000, 2999
ONE_MINUTE = timedelta(minutes=1)
ONE_DAY = timedelta(days=1)
ONE_MICROSECOND = timedelta(microseconds=1)


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
    """A checked schedule. `every` counts from `anchor_at`: slot n is the anchor plus n times it.

    What lies before `starts_at`, after `ends_at` or on an `excluded` day of its zone is no
    scheduled time, and nothing after `LATEST_YEAR` is.
    """

    kind: Kind
    cron: str = ""
    every_seconds: int | None = None
    at: datetime | None = None
    zone: str = "UTC"
    anchor_at: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    excluded: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A scheduled time to come, and when its run is to begin.

    `shifted`: clocks do not show the time that was asked for, this is the first one after it.
    `repeated`: clocks show it for the second time.
    """

    slot: datetime
    due_at: datetime
    shifted: bool
    repeated: bool


def parse(
    *,
    kind: str,
    cron: str = "",
    every_seconds: int | None = None,
    at: datetime | None = None,
    zone: str = "UTC",
    anchor_at: datetime,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    excluded: frozenset[date] = frozenset(),
) -> Schedule:
    """Check the fields of a schedule. Raises `ScheduleFault` with every fault.

    Whether `at` has passed is not looked at here: a stored job's time passes by itself.
    """
    found = faults(
        kind=kind,
        cron=cron,
        every_seconds=every_seconds,
        at=at,
        zone=zone,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    if found:
        raise ScheduleFault(found)
    return Schedule(
        kind=Kind(kind),
        cron=cron.strip(),
        every_seconds=every_seconds,
        at=at,
        zone=zone,
        anchor_at=anchor_at,
        starts_at=starts_at,
        ends_at=ends_at,
        excluded=excluded,
    )


def faults(
    *,
    kind: str,
    cron: str,
    every_seconds: int | None,
    at: datetime | None,
    zone: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> dict[str, list[str]]:
    """What is wrong with the fields of a schedule, by field; empty if nothing is."""
    found = _limit_faults(starts_at, ends_at)
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
    if kind == Kind.AT and at is not None and not found.keys() & {"at", "starts_at", "ends_at"}:
        found |= _outside_faults(at, starts_at, ends_at)
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
    shown = instants(label, where)
    return shown[0] if shown else end_of_gap(label, where)


def admits(schedule: Schedule, moment: datetime) -> bool:
    """Whether a scheduled time may be then: within the limits, and on no excluded day."""
    if schedule.starts_at is not None and moment < schedule.starts_at:
        return False
    return not (_is_past(schedule, moment) or _is_excluded(schedule, moment))


def next_after(schedule: Schedule, after: datetime) -> datetime | None:
    """The first scheduled time later than `after`, in UTC; None if there is none."""
    after = after.astimezone(UTC)
    if schedule.starts_at is not None:
        after = max(after, schedule.starts_at.astimezone(UTC) - ONE_MICROSECOND)
    found = _next_of_kind(schedule, after)
    while found is not None and not _is_past(schedule, found):
        if not _is_excluded(schedule, found):
            return found
        found = _next_of_kind(schedule, max(found, _next_day(schedule, found) - ONE_MICROSECOND))
    return None


def _next_of_kind(schedule: Schedule, after: datetime) -> datetime | None:
    if schedule.kind is Kind.EVERY:
        return _next_interval(schedule, after)
    if schedule.kind is Kind.AT:
        assert schedule.at is not None
        at = schedule.at.astimezone(UTC)
        return at if at > after else None
    expression = cron_expressions.parse(schedule.cron)
    return cron_times.next_time(expression, named_zone(schedule.zone), after)


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
    following = next_after(schedule, due)
    if following is None or following > until:
        return due
    low, high = following, until
    while high - low > ONE_SECOND:
        middle = low + (high - low) / 2
        found = next_after(schedule, middle)
        if found is not None and found <= until:
            low = found
        else:
            high = middle
    found = next_after(schedule, low)
    return found if found is not None and found <= until else low


def excluded_spans(
    schedule: Schedule, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """When the excluded days between two instants begin and end, cut off at these."""
    where = named_zone(schedule.zone)
    first, last = start.astimezone(where).date(), end.astimezone(where).date()
    days = [day for day in schedule.excluded if first <= day <= last]
    spans = [(_midnight(schedule, day), _midnight(schedule, day + ONE_DAY)) for day in days]
    return [(max(begin, start), min(finish, end)) for begin, finish in spans]


def marked(
    schedule: Schedule,
    after: datetime,
    count: int,
    *,
    job_id: UUID | None = None,
    jitter_seconds: int = 0,
) -> list[Upcoming]:
    """The next `count` scheduled times after `after`, with what is unusual about each.

    A job that is not stored yet has no id, and its jitter is not known.
    """
    slots = upcoming(schedule, after, count + 1)
    return [
        Upcoming(
            slot=slot,
            due_at=due_time(job_id, slot, jitter_seconds, following) if job_id else slot,
            shifted=_is_shifted(schedule, slot),
            repeated=slot.astimezone(named_zone(schedule.zone)).fold == 1,
        )
        for slot, following in zip_longest(slots[:count], slots[1:])
        if slot is not None
    ]


def sentence(schedule: Schedule, calendars: Sequence[str] = ()) -> str:
    """The schedule in plain words, such as “At 09:00 on weekdays, Europe/Prague”.

    `calendars` are the names of the lists its excluded days are from.
    """
    limits = limits_sentence(
        _local(schedule, schedule.starts_at), _local(schedule, schedule.ends_at), calendars
    )
    # An interval's sentence does without a zone, its limits do not.
    bounded = schedule.kind is Kind.EVERY and (schedule.starts_at or schedule.ends_at)
    return f"{_unlimited_sentence(schedule)}{f', {schedule.zone}' if bounded else ''}{limits}"


def _unlimited_sentence(schedule: Schedule) -> str:
    if schedule.kind is Kind.EVERY:
        return every_sentence(schedule.every_seconds or 0)
    if schedule.kind is Kind.AT:
        assert schedule.at is not None
        return at_sentence(schedule.at.astimezone(named_zone(schedule.zone)), schedule.zone)
    return cron_sentence(cron_expressions.parse(schedule.cron), schedule.zone)


def _local(schedule: Schedule, moment: datetime | None) -> datetime | None:
    return moment.astimezone(named_zone(schedule.zone)) if moment else None


def _limit_faults(starts_at: datetime | None, ends_at: datetime | None) -> dict[str, list[str]]:
    limits = {"starts_at": starts_at, "ends_at": ends_at}
    found = {
        field: reasons
        for field, value in limits.items()
        if value is not None and (reasons := _moment_faults(value))
    }
    if not found and starts_at and ends_at and ends_at <= starts_at:
        found["ends_at"] = ["The end must be later than the start."]
    return found


def _moment_faults(moment: datetime) -> list[str]:
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        return [f"Give a year from {EARLIEST_YEAR} to {LATEST_YEAR}."]
    return [] if moment.tzinfo else ["The time has no zone."]


def _outside_faults(
    at: datetime, starts_at: datetime | None, ends_at: datetime | None
) -> dict[str, list[str]]:
    if starts_at and at < starts_at:
        return {"at": ["That is before the start."]}
    if ends_at and at > ends_at:
        return {"at": ["That is after the end."]}
    return {}


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
    elif isinstance(value, datetime):
        return _moment_faults(value)
    return []


def _foreign_faults(value: object, kind: str) -> list[str]:
    if value in {None, ""}:
        return []
    return [f"Leave this empty: it has no meaning for a schedule of the kind “{kind}”."]


def _is_past(schedule: Schedule, moment: datetime) -> bool:
    if moment.year > LATEST_YEAR:
        return True
    return schedule.ends_at is not None and moment > schedule.ends_at


def _is_excluded(schedule: Schedule, moment: datetime) -> bool:
    if not schedule.excluded:
        return False
    return moment.astimezone(named_zone(schedule.zone)).date() in schedule.excluded


def _next_day(schedule: Schedule, moment: datetime) -> datetime:
    """When the first day begins that is not excluded, given a moment on one that is."""
    day = moment.astimezone(named_zone(schedule.zone)).date()
    while day in schedule.excluded:
        day += ONE_DAY
    return _midnight(schedule, day)


def _midnight(schedule: Schedule, day: date) -> datetime:
    return local_time(datetime.combine(day, time.min), schedule.zone)


def _is_shifted(schedule: Schedule, slot: datetime) -> bool:
    if schedule.kind is not Kind.CRON:
        return False
    shown = wall_clock(slot, named_zone(schedule.zone))
    expression = cron_expressions.parse(schedule.cron)
    return cron_expressions.next_label(expression, shown - ONE_MINUTE) != shown


def _next_interval(schedule: Schedule, after: datetime) -> datetime:
    assert schedule.every_seconds is not None
    interval = timedelta(seconds=schedule.every_seconds)
    anchor = schedule.anchor_at.astimezone(UTC)
    # Floor division of timedeltas is exact, so the grid never drifts.
    return anchor + max(1, (after - anchor) // interval + 1) * interval
