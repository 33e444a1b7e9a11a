"""What is decided of a due job, given now and what stands in its way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scheduling import schedule as schedules
from scheduling.planning import MOST_MISSED_COUNTED, ActiveRun, Plan, plan
from scheduling.schedule import Kind, Schedule
from tests.scheduling.oracle import instant

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MINUTELY = schedules.parse(kind=Kind.CRON, cron="* * * * *", anchor_at=NOON)
WEEKDAYS_AT_NINE = schedules.parse(
    kind=Kind.CRON, cron="0 9 * * 1-5", zone="Europe/Prague", anchor_at=NOON
)
EVERY_TEN_SECONDS = schedules.parse(kind=Kind.EVERY, every_seconds=10, anchor_at=NOON)
ONCE = schedules.parse(kind=Kind.AT, at=NOON, anchor_at=NOON)


@pytest.mark.parametrize(
    ("schedule", "due", "now", "expected"),
    [
        pytest.param(
            *(MINUTELY, "2026-03-15 12:00", "2026-03-15 12:00"),
            ("2026-03-15 12:00", 0, "2026-03-15 12:01"),
            id="on time",
        ),
        pytest.param(
            *(MINUTELY, "2026-03-15 12:00", "2026-03-15 12:00:59.999"),
            ("2026-03-15 12:00", 0, "2026-03-15 12:01"),
            id="late, but before the next",
        ),
        pytest.param(
            *(MINUTELY, "2026-03-15 12:00", "2026-03-15 12:01"),
            ("2026-03-15 12:01", 1, "2026-03-15 12:02"),
            id="one missed",
        ),
        pytest.param(
            *(MINUTELY, "2026-03-15 12:00", "2026-03-15 13:30:20"),
            ("2026-03-15 13:30", 90, "2026-03-15 13:31"),
            id="an hour and a half away",
        ),
        pytest.param(
            *(MINUTELY, "2026-03-15 12:00", "2027-03-15 12:00:20"),
            ("2027-03-15 12:00", MOST_MISSED_COUNTED, "2027-03-15 12:01"),
            id="a year away: the count is bounded",
        ),
        pytest.param(
            *(EVERY_TEN_SECONDS, "2026-03-15 12:00", "2026-03-15 12:00:09.9"),
            ("2026-03-15 12:00", 0, "2026-03-15 12:00:10"),
            id="an interval, on time",
        ),
        pytest.param(
            *(EVERY_TEN_SECONDS, "2026-03-15 12:00", "2026-03-15 12:01:05"),
            ("2026-03-15 12:01", 6, "2026-03-15 12:01:10"),
            id="an interval, six missed",
        ),
        pytest.param(
            *(EVERY_TEN_SECONDS, "2026-03-15 12:00", "2026-04-15 12:01:05"),
            ("2026-04-15 12:01", MOST_MISSED_COUNTED, "2026-04-15 12:01:10"),
            id="an interval, a month away",
        ),
        pytest.param(
            *(WEEKDAYS_AT_NINE, "2026-03-26 08:00", "2026-03-31 06:59"),
            ("2026-03-30 07:00", 2, "2026-03-31 07:00"),
            id="two weekdays missed across a clock change",
        ),
        pytest.param(
            *(ONCE, "2026-03-15 12:00", "2026-03-15 12:00"),
            ("2026-03-15 12:00", 0, None),
            id="once",
        ),
        pytest.param(
            *(ONCE, "2026-03-15 12:00", "2026-09-15 12:00"),
            ("2026-03-15 12:00", 0, None),
            id="once, half a year late",
        ),
    ],
)
def test_the_latest_missed_time_is_dealt_with_and_the_others_counted(
    schedule: Schedule, due: str, now: str, expected: tuple[str, int, str | None]
) -> None:
    slot, missed, next_slot = expected

    decided = plan(schedule, due=instant(due), now=instant(now))

    assert decided == Plan(
        slot=instant(slot),
        missed_before=missed,
        next_slot=instant(next_slot) if next_slot else None,
    )


@pytest.mark.parametrize(
    ("team_enabled", "active", "reason"),
    [
        (True, None, ""),
        (False, None, "The team is disabled."),
        (
            True,
            ActiveRun(slot=NOON - timedelta(minutes=1), started=True),
            "The run of 2026-03-15 11:59:00 UTC was still under way; one runs at a time.",
        ),
        (
            True,
            ActiveRun(slot=NOON - timedelta(minutes=1), started=False),
            "The run of 2026-03-15 11:59:00 UTC was still waiting; one runs at a time.",
        ),
        (False, ActiveRun(slot=NOON, started=True), "The team is disabled."),
    ],
)
def test_what_stands_in_the_way_is_the_reason_and_time_goes_on(
    team_enabled: bool, active: ActiveRun | None, reason: str
) -> None:
    decided = plan(MINUTELY, due=NOON, now=NOON).facing(team_enabled=team_enabled, active=active)

    assert decided.reason == decided.obstacle == reason
    assert (decided.slot, decided.next_slot) == (NOON, NOON + timedelta(minutes=1))


def test_a_count_that_was_given_up_is_said_to_be_so() -> None:
    assert plan(MINUTELY, due=NOON, now=NOON).reason == ""
    assert "1,000" in plan(MINUTELY, due=NOON, now=NOON + timedelta(days=1)).reason
