"""What becomes of the times of a due job: those on time, those missed, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from scheduling import schedule as schedules
from scheduling.models import MisfirePolicy
from scheduling.planning import MOST_MISSED_ROWS, WHY_NOT_RUN, Plan, Rules, Tick, plan
from scheduling.schedule import Kind, Schedule
from tests.scheduling.oracle import instant

DAY = "2026-03-15"
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
MINUTELY = schedules.parse(kind=Kind.CRON, cron="* * * * *", anchor_at=NOON)
HOURLY = schedules.parse(kind=Kind.CRON, cron="0 * * * *", anchor_at=NOON)
WEEKDAYS_AT_NINE = schedules.parse(
    kind=Kind.CRON, cron="0 9 * * 1-5", zone="Europe/Prague", anchor_at=NOON
)
EVERY_TEN_SECONDS = schedules.parse(kind=Kind.EVERY, every_seconds=10, anchor_at=NOON)
ONCE = schedules.parse(kind=Kind.AT, at=NOON, anchor_at=NOON)


def rules(schedule: Schedule, **given: Any) -> Rules:
    fields: dict[str, Any] = {
        "job_id": UUID(int=7),
        "jitter_seconds": 0,
        "misfire": "run_once",
        "catch_up_limit": 3,
        "catch_up_within": timedelta(hours=24),
        "runs_left": None,
    }
    return Rules(schedule=schedule, **fields | given)


def told(decided: Plan) -> list[str]:
    """Each tick in short: when it was due, what becomes of it, and how many are behind it."""
    return [_told(tick) for tick in decided.ticks]


def _told(tick: Tick) -> str:
    fate = "runs" if tick.trigger == "schedule" else "makes up"
    if tick.missed:
        fate = "review" if tick.needs_review else "missed"
    clock = f"{tick.slot:%H:%M}" if not tick.slot.second else f"{tick.slot:%H:%M:%S}"
    return f"{clock} {fate}{f' +{tick.missed_before}' if tick.missed_before else ''}"


def test_there_is_a_plan_for_every_policy() -> None:
    assert WHY_NOT_RUN.keys() == set(MisfirePolicy)


@pytest.mark.parametrize(
    ("schedule", "due", "now", "expected", "next_slot"),
    [
        pytest.param(MINUTELY, "12:00", "11:59:59.999", [], "12:00", id="not yet due"),
        pytest.param(MINUTELY, "12:00", "12:00", ["12:00 runs"], "12:01", id="on time"),
        pytest.param(MINUTELY, "12:00", "12:00:59.999", ["12:00 runs"], "12:01", id="late"),
        pytest.param(HOURLY, "12:00", "12:01", ["12:00 runs"], "13:00", id="as late as may be"),
        pytest.param(
            EVERY_TEN_SECONDS, "12:00", "12:00:09.9", ["12:00 runs"], "12:00:10", id="an interval"
        ),
        pytest.param(ONCE, "12:00", "12:00:30", ["12:00 runs"], None, id="once"),
        pytest.param(
            WEEKDAYS_AT_NINE, "2026-03-27 08:00", "2026-03-27 08:00:30",
            ["08:00 runs"], "2026-03-30 07:00", id="across a clock change",
        ),
    ],
)  # fmt: skip
def test_what_is_on_time_runs_under_any_policy(
    schedule: Schedule, due: str, now: str, expected: list[str], next_slot: str | None
) -> None:
    for misfire in MisfirePolicy:
        decided = plan(rules(schedule, misfire=misfire), due=moment(due), now=moment(now))

        assert told(decided) == expected
        assert decided.next_slot == decided.next_due == (moment(next_slot) if next_slot else None)
        assert all(tick.reason == "" and tick.due_at == tick.slot for tick in decided.ticks)


def moment(text: str) -> datetime:
    return instant(text if "-" in text else f"{DAY} {text}")


@pytest.mark.parametrize(
    ("misfire", "schedule", "now", "expected"),
    [
        # The last is on time: only those before it are missed.
        ("skip", HOURLY, "14:00:30", ["12:00 missed", "13:00 missed", "14:00 runs"]),
        ("run_once", HOURLY, "14:00:30", ["12:00 missed", "13:00 missed", "14:00 runs"]),
        ("catch_up", HOURLY, "14:00:30", ["12:00 makes up", "13:00 makes up", "14:00 runs"]),
        ("review", HOURLY, "14:00:30", ["12:00 review", "13:00 review", "14:00 runs"]),
        # The last is late as well.
        ("skip", HOURLY, "14:30", ["12:00 missed", "13:00 missed", "14:00 missed"]),
        ("run_once", HOURLY, "14:30", ["12:00 missed", "13:00 missed", "14:00 makes up"]),
        ("catch_up", HOURLY, "14:30", ["12:00 makes up", "13:00 makes up", "14:00 makes up"]),
        ("review", HOURLY, "14:30", ["12:00 review", "13:00 review", "14:00 review"]),
        # No more than three are caught up with, the last.
        (
            *("catch_up", HOURLY, "16:30"),
            ["12:00 missed", "13:00 missed", "14:00 makes up", "15:00 makes up", "16:00 makes up"],
        ),
        (
            *("catch_up", HOURLY, "16:00"),
            ["12:00 missed", "13:00 makes up", "14:00 makes up", "15:00 makes up", "16:00 runs"],
        ),
        # One that is due once.
        ("skip", ONCE, "12:01:00.001", ["12:00 missed"]),
        ("run_once", ONCE, "12:01:00.001", ["12:00 makes up"]),
        ("catch_up", ONCE, "12:01:00.001", ["12:00 makes up"]),
        ("review", ONCE, "12:01:00.001", ["12:00 review"]),
        # Within the minute of grace, too, only the last is on time.
        ("run_once", EVERY_TEN_SECONDS, "12:00:15", ["12:00 missed", "12:00:10 runs"]),
    ],
)
def test_what_was_missed_goes_by_the_policy(
    misfire: str, schedule: Schedule, now: str, expected: list[str]
) -> None:
    decided = plan(rules(schedule, misfire=misfire), due=NOON, now=moment(now))

    assert told(decided) == expected
    assert decided.next_slot == schedules.next_after(schedule, moment(now))


def test_what_was_missed_too_long_ago_is_not_caught_up_with() -> None:
    within = rules(HOURLY, misfire="catch_up", catch_up_within=90 * MINUTE)

    decided = plan(within, due=NOON, now=NOON + 3.5 * HOUR)

    assert told(decided)[1:] == ["13:00 missed", "14:00 makes up", "15:00 makes up"]
    assert "the last 3 within 1 h 30 min are caught up with" in decided.ticks[0].reason


@pytest.mark.parametrize(
    ("misfire", "first", "last"),
    [
        ("skip", "It was missed: it was 3 h 30 min late when a scheduler came to it. Missed times "
         "of this prompt are skipped.", ""),
        ("run_once", "It was missed: it was 3 h 30 min late when a scheduler came to it. One run "
         "of a later time makes up for it.",
         "It is made up for: it was 30 min late when a scheduler came to it. It also makes up for "
         "3 scheduled times before it."),
        ("catch_up", "It was missed: it was 3 h 30 min late when a scheduler came to it. Of missed "
         "times the last 3 within 1 d are caught up with.",
         "It is made up for: it was 30 min late when a scheduler came to it."),
        ("review", "It was missed: it was 3 h 30 min late when a scheduler came to it. A person is "
         "to say whether it is made up for.", ""),
    ],
)  # fmt: skip
def test_each_row_says_why(misfire: str, first: str, last: str) -> None:
    ticks = plan(rules(HOURLY, misfire=misfire), due=NOON, now=NOON + 3.5 * HOUR).ticks

    assert (ticks[0].reason, ticks[-1].reason if last else "") == (first, last)


@pytest.mark.parametrize(
    ("schedule", "away", "counted", "words"),
    [
        (MINUTELY, 99 * MINUTE, 0, "One run of a later time makes up for it."),
        (MINUTELY, 101 * MINUTE, 1, " 1 scheduled time before it was missed too."),
        (MINUTELY, 160 * MINUTE, 60, " 60 scheduled times before it were missed too."),
        (MINUTELY, 400 * 24 * HOUR, 1000, " At least 1,000 scheduled times before it were"),
        (EVERY_TEN_SECONDS, 400 * 24 * HOUR, 3_455_900, " 3,455,900 scheduled times before it"),
    ],
)
def test_only_the_last_hundred_missed_get_rows_and_the_others_are_counted(
    schedule: Schedule, away: timedelta, counted: int, words: str
) -> None:
    decided = plan(rules(schedule), due=NOON, now=NOON + away)

    first, *others = decided.ticks
    assert first.missed_before == counted
    assert words in first.reason
    assert sum(tick.missed for tick in decided.ticks) == min(MOST_MISSED_ROWS, away // MINUTE)
    assert {tick.missed_before for tick in others} == {0}
    assert decided.ticks[-1].slot == NOON + away


def test_a_run_for_all_counts_those_without_rows() -> None:
    sparse = replace(MINUTELY, cron="* 12-14 * * *")

    last = plan(rules(sparse), due=NOON, now=NOON + 5 * HOUR).ticks[-1]
    after_a_year = plan(rules(sparse), due=NOON, now=NOON + 365 * 24 * HOUR + 5 * HOUR).ticks[-1]

    assert "It also makes up for 179 scheduled times before it." in last.reason
    assert "It also makes up for at least 1,100 scheduled times" in after_a_year.reason


def test_excluded_days_are_not_counted_as_missed() -> None:
    # The 29th has an hour less in Prague.
    free = frozenset({date(2026, 3, 17), date(2026, 3, 18), date(2026, 3, 29)})
    prague = replace(EVERY_TEN_SECONDS, zone="Europe/Prague", excluded=free)

    first, *others = plan(rules(prague), due=NOON, now=NOON + 20 * 24 * HOUR).ticks

    assert first.missed_before + len(others) == (20 * 24 - 2 * 24 - 23) * 360


@pytest.mark.parametrize(
    ("runs_left", "ticks", "used_up"), [(0, 0, True), (1, 3, True), (3, 5, True), (4, 5, False)]
)
def test_after_the_last_run_a_job_is_finished(runs_left: int, ticks: int, used_up: bool) -> None:
    limited = rules(HOURLY, misfire="catch_up", runs_left=runs_left)
    unlimited = [
        *("12:00 missed", "13:00 missed", "14:00 makes up", "15:00 makes up", "16:00 makes up")
    ]

    decided = plan(limited, due=NOON, now=NOON + 4.5 * HOUR)

    assert told(decided) == unlimited[:ticks]
    assert (decided.next_slot is None) is (decided.next_due is None) is used_up


def test_rows_for_missed_times_use_up_no_run() -> None:
    limited = rules(HOURLY, misfire="skip", runs_left=1)

    assert plan(limited, due=NOON, now=NOON + 4.5 * HOUR).next_slot == NOON + 5 * HOUR


def test_a_job_that_has_ended_is_due_no_more() -> None:
    ending = replace(HOURLY, ends_at=NOON + 2 * HOUR)

    decided = plan(rules(ending), due=NOON, now=NOON + 30 * HOUR)

    assert [tick.slot for tick in decided.ticks] == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert decided.next_slot is None


def test_a_slot_on_a_day_excluded_since_is_passed_over() -> None:
    free = replace(HOURLY, excluded=frozenset({NOON.date()}))

    early = plan(rules(free), due=NOON, now=NOON)
    late = plan(rules(free, misfire="skip"), due=NOON, now=NOON + 13.5 * HOUR)

    assert (early.ticks, early.next_slot) == ((), NOON + 12 * HOUR)
    assert told(late) == ["00:00 missed", "01:00 missed"]
    assert plan(rules(replace(free, ends_at=NOON + HOUR)), due=NOON, now=NOON) == Plan(
        ticks=(), next_slot=None, next_due=None
    )
