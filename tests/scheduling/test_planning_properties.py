"""Whatever the rules and however late: each scheduled time is accounted for exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling import schedule as schedules
from scheduling.counting import MOST_COUNTED
from scheduling.jitter import due_time
from scheduling.models import MisfirePolicy
from scheduling.planning import GRACE, MOST_MISSED_ROWS, Rules, Tick, plan
from scheduling.schedule import Kind, Schedule, between, next_after

START = datetime(2026, 10, 22, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Times that are looked at one by one: seldom so many that the test takes long.
MOST_LOOKED_AT = 20_000
ZONES = ("UTC", "Europe/Prague", "America/New_York", "Australia/Lord_Howe")
CRONS = ("* * * * *", "*/7 3 * * *", "30 2 * * *", "0 9 * * 1-5", "15 1,2 * * *", "0 */6 * * *")

IDS = st.uuids()
WITHIN_A_MONTH = st.timedeltas(timedelta(), timedelta(days=30))
DAYS = st.frozensets(st.dates(START.date(), date(2026, 11, 20)), max_size=12)


@st.composite
def schedule_strategy(draw: st.DrawFn) -> Schedule:
    kind = draw(st.sampled_from(Kind))
    plain = schedules.parse(
        kind=kind,
        cron=draw(st.sampled_from(CRONS)) if kind is Kind.CRON else "",
        every_seconds=draw(st.sampled_from((1, 45, 3600, 86_400))) if kind is Kind.EVERY else None,
        at=START + draw(WITHIN_A_MONTH) if kind is Kind.AT else None,
        zone=draw(st.sampled_from(ZONES)),
        anchor_at=START,
    )
    starts_at = draw(st.none() | WITHIN_A_MONTH.map(lambda later: START + later))
    ends_at = draw(st.none() | WITHIN_A_MONTH.map(lambda later: START + later))
    return replace(plain, starts_at=starts_at, ends_at=ends_at, excluded=draw(DAYS))


SCHEDULES = schedule_strategy()
RULES = st.builds(
    Rules,
    job_id=IDS,
    schedule=SCHEDULES,
    jitter_seconds=st.sampled_from((0, 0, 20, 3600)),
    misfire=st.sampled_from(MisfirePolicy).map(str),
    catch_up_limit=st.integers(1, 100),
    catch_up_within=st.timedeltas(timedelta(hours=1), timedelta(days=30)),
    runs_left=st.none() | st.integers(1, 40),
)
LATENESS = st.one_of(
    st.timedeltas(timedelta(), 2 * GRACE),
    st.timedeltas(timedelta(), timedelta(hours=3)),
    st.timedeltas(timedelta(), timedelta(days=12)),
)


def due_slots(rules: Rules, first: datetime, now: datetime) -> list[datetime]:
    """The scheduled times from `first` whose runs are to begin by `now`, found one by one."""
    slots = between(rules.schedule, first - MICROSECOND, now, MOST_LOOKED_AT)
    while slots and due(rules, slots[-1]) > now:
        slots.pop()
    return slots


def due(rules: Rules, slot: datetime) -> datetime:
    return due_time(rules.job_id, slot, rules.jitter_seconds, next_after(rules.schedule, slot))


@settings(max_examples=100)
@given(rules=RULES, begin=WITHIN_A_MONTH, late=st.lists(LATENESS, min_size=1, max_size=5))
def test_every_time_is_accounted_for_once_and_runs_are_bounded(
    rules: Rules, begin: timedelta, late: list[timedelta]
) -> None:
    next_slot, left = next_after(rules.schedule, START + begin), rules.runs_left
    for lateness in late:
        if next_slot is None:
            return
        now = next_slot + lateness
        decided = plan(replace(rules, runs_left=left), due=next_slot, now=now)
        slots = due_slots(rules, next_slot, now)
        if len(slots) == MOST_LOOKED_AT:
            return
        ticks = decided.ticks
        running = [tick for tick in ticks if not tick.missed]
        if left is not None:
            left -= len(running)
            assert left >= 0
            if left == 0:
                # What comes after the last run is no scheduled time any more.
                assert decided.next_slot is None
                slots = [slot for slot in slots if slot <= ticks[-1].slot]
        counted = ticks[0].missed_before if ticks else 0
        exact = rules.schedule.kind is Kind.EVERY or counted < MOST_COUNTED
        assert [tick.slot for tick in ticks] == slots[len(slots) - len(ticks) :]
        assert len(slots) == len(ticks) + counted if exact else len(slots) >= len(ticks) + counted
        assert all(tick.missed_before == 0 for tick in ticks[1:])
        assert all(tick.due_at == due(rules, tick.slot) <= now for tick in ticks)
        assert_the_policy_is_obeyed(rules, ticks, now)
        next_slot, next_due = decided.next_slot, decided.next_due
        assert (next_slot is None) is (next_due is None)
        if next_slot is not None and next_due is not None:
            assert now < next_due == due(rules, next_slot)
            # Jitter does not feed back: the next time is what it would be without any.
            assert not ticks or next_slot == next_after(rules.schedule, ticks[-1].slot)


def assert_the_policy_is_obeyed(rules: Rules, ticks: tuple[Tick, ...], now: datetime) -> None:
    made_up = [tick for tick in ticks if tick.trigger == "catch_up"]
    missed = [tick for tick in ticks if tick.missed]
    on_time = [tick for tick in ticks if not tick.missed and tick.trigger == "schedule"]
    allowed = {"skip": 0, "run_once": 1, "catch_up": rules.catch_up_limit, "review": 0}
    assert len(on_time) <= 1
    assert all(tick == ticks[-1] and tick.due_at >= now - GRACE for tick in on_time)
    assert len(made_up) <= allowed[rules.misfire]
    assert len(missed) <= MOST_MISSED_ROWS
    assert {tick.needs_review for tick in missed} <= {rules.misfire == "review"}
    assert not any(tick.needs_review for tick in made_up + on_time)
    assert all(tick.reason for tick in missed + made_up)
    assert all(len(tick.reason) <= 500 for tick in ticks)
    if rules.misfire == "catch_up":
        assert all(tick.slot >= now - rules.catch_up_within for tick in made_up)
    if rules.misfire == "run_once":
        assert not (made_up and on_time)


@settings(max_examples=60)
@given(schedule=SCHEDULES, begin=WITHIN_A_MONTH)
def test_limits_and_excluded_days_only_take_times_away(
    schedule: Schedule, begin: timedelta
) -> None:
    free = replace(schedule, starts_at=None, ends_at=None, excluded=frozenset())
    # Long enough to see a whole day left out, unless there is too much to see.
    dense = schedule.every_seconds is not None and schedule.every_seconds < 60
    until = START + begin + timedelta(hours=1 if dense else 30)

    found = between(schedule, START + begin, until, MOST_LOOKED_AT)

    every = between(free, START + begin, until, MOST_LOOKED_AT)
    assert found == [slot for slot in every if schedules.admits(schedule, slot)]
    for slot in found:
        assert schedule.starts_at is None or slot >= schedule.starts_at
        assert schedule.ends_at is None or slot <= schedule.ends_at
        assert slot.astimezone(ZoneInfo(schedule.zone)).date() not in schedule.excluded


@given(
    job=IDS,
    jitter=st.integers(1, 3600),
    gaps=st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=2)), min_size=2, max_size=50),
)
def test_jitter_is_stable_bounded_and_keeps_the_order(
    job: UUID, jitter: int, gaps: list[timedelta]
) -> None:
    slots = [START]
    for gap in gaps:
        slots.append(slots[-1] + gap)

    found = [due_time(job, slot, jitter, later) for slot, later in pairwise(slots)]

    assert found == [due_time(job, slot, jitter, later) for slot, later in pairwise(slots)]
    for slot, moment, later in zip(slots, found, slots[1:], strict=False):
        assert slot <= moment < min(later, slot + timedelta(seconds=jitter))
    assert found == sorted(set(found))


def test_jitter_is_spread_evenly_over_jobs_and_over_times() -> None:
    jobs = [due_time(UUID(int=number), START, 100, None) for number in range(1000)]
    times = [
        due_time(UUID(int=1), slot, 100, None) - slot
        for slot in (START + timedelta(hours=number) for number in range(1000))
    ]

    for delays in ([moment - START for moment in jobs], times):
        quarters = [
            sum(delay < timedelta(seconds=part) for delay in delays) for part in (25, 50, 75)
        ]
        assert all(abs(count - 250 * (place + 1)) < 50 for place, count in enumerate(quarters))


def test_jitter_does_not_change_from_one_release_to_the_next() -> None:
    assert due_time(UUID(int=1), START, 3600, None) - START == timedelta(
        seconds=3582, microseconds=317158
    )
    assert due_time(UUID(int=1), START, 0, None) == START
