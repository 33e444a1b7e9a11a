"""Schedules with a start, an end and days that are left out; and previews with their marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError

from scheduling import schedule as schedules
from scheduling.jitter import due_time
from scheduling.previews import preview
from scheduling.schedule import Kind, Schedule, marked, next_after, upcoming
from tests.scheduling.oracle import instant

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PRAGUE, APIA = "Europe/Prague", "Pacific/Apia"


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
YEARS = "Give a year from 2000 to 2999."
LEAP_DAYS = [date(year, 2, 29) for year in range(2028, 10_000, 4) if year % 100 or not year % 400]


def schedule(**fields: Any) -> Schedule:
    kind = Kind.CRON if "cron" in fields else Kind.EVERY if "every_seconds" in fields else Kind.AT
    return schedules.parse(kind=kind, anchor_at=EPOCH, **fields)


def days(*texts: str) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, texts))


@pytest.mark.parametrize(
    ("fields", "after", "expected"),
    [
        pytest.param(
            {"cron": "0 9 * * *", "starts_at": instant("2026-05-01 09:00")},
            *("2026-01-01 00:00", ["2026-05-01 09:00", "2026-05-02 09:00"]),
            id="the start itself may be a time",
        ),
        pytest.param(
            {"cron": "0 9 * * *", "starts_at": instant("2026-05-01 09:00:01")},
            *("2026-01-01 00:00", ["2026-05-02 09:00", "2026-05-03 09:00"]),
            id="not before the start",
        ),
        pytest.param(
            {"cron": "0 9 * * *", "ends_at": instant("2026-05-02 09:00")},
            *("2026-05-01 00:00", ["2026-05-01 09:00", "2026-05-02 09:00"]),
            id="the end itself may be a time",
        ),
        pytest.param(
            {"every_seconds": 3600, "starts_at": instant("2026-05-01 09:20")},
            *("2026-01-01 00:00", ["2026-05-01 10:00", "2026-05-01 11:00"]),
            id="an interval goes on counting from its anchor",
        ),
        pytest.param(
            {"at": instant("2026-05-01 09:20"), "ends_at": instant("2026-05-01 09:20")},
            *("2026-01-01 00:00", ["2026-05-01 09:20"]),
            id="once, at the end",
        ),
        pytest.param(
            {"cron": "0 9 * * 1-5", "excluded": days("2026-12-24", "2026-12-25", "2026-12-28")},
            *("2026-12-23 10:00", ["2026-12-29 09:00", "2026-12-30 09:00"]),
            id="holidays around a weekend",
        ),
        pytest.param(
            {"cron": "30 23 * * *", "zone": PRAGUE, "excluded": days("2026-12-24")},
            *("2026-12-23 00:00", ["2026-12-23 22:30", "2026-12-25 22:30"]),
            id="a day is one of the job's zone, the evening",
        ),
        pytest.param(
            {"cron": "30 0 * * *", "zone": PRAGUE, "excluded": days("2026-12-24")},
            *("2026-12-22 23:31", ["2026-12-24 23:30", "2026-12-25 23:30"]),
            id="a day is one of the job's zone, the morning",
        ),
        pytest.param(
            {"every_seconds": 7, "zone": PRAGUE, "excluded": days("2026-03-29", "2026-03-30")},
            *("2026-03-28 22:59:58", ["2026-03-30 22:00:02", "2026-03-30 22:00:09"]),
            id="a short interval over the day of a clock change",
        ),
        pytest.param(
            {"cron": "0 12 * * *", "zone": APIA, "excluded": days("2011-12-29", "2011-12-30")},
            *("2011-12-29 00:00", ["2011-12-30 22:00", "2011-12-31 22:00"]),
            id="a day that was not",
        ),
        pytest.param(
            # Clocks went back from 00:01 to 23:01, so that the excluded day came back for a while.
            {
                "cron": "*/20 * * * *",
                "zone": "America/St_Johns",
                "excluded": days("2010-11-06"),
            },
            *("2010-11-06 12:00", ["2010-11-07 02:30", "2010-11-07 03:30", "2010-11-07 03:50"]),
            id="a day that came back",
        ),
        pytest.param(
            {"at": instant("2026-05-01 09:20"), "excluded": days("2026-05-01")},
            *("2026-01-01 00:00", []),
            id="once, on an excluded day",
        ),
        pytest.param(
            {
                "cron": "0 9 1 5 *",
                "excluded": days("2026-05-01"),
                "ends_at": instant("2027-01-01 00:00"),
            },
            *("2026-01-01 00:00", []),
            id="nothing is left",
        ),
        pytest.param(
            {"cron": "0 0 29 2 *", "excluded": frozenset(LEAP_DAYS)},
            *("2026-01-01 00:00", []),
            id="nothing is left for ever",
        ),
    ],
)
def test_limits_leave_times_out(fields: dict[str, Any], after: str, expected: list[str]) -> None:
    found = upcoming(schedule(**fields), instant(after), max(len(expected), 1))

    assert found == [instant(text) for text in expected]


def test_a_long_list_of_days_is_passed_over_at_once() -> None:
    years = frozenset(EPOCH.date() + timedelta(days=number) for number in range(2000))

    found = next_after(schedule(every_seconds=1, excluded=years), EPOCH)

    assert found == EPOCH + timedelta(days=2000)


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"starts_at": EPOCH.replace(tzinfo=None)}, {"starts_at": "no zone"}),
        (
            {"starts_at": EPOCH.replace(tzinfo=None), "ends_at": EPOCH.replace(tzinfo=None)},
            {"starts_at": "no zone", "ends_at": "no zone"},
        ),
        ({"starts_at": EPOCH, "ends_at": EPOCH}, {"ends_at": "later than the start"}),
        ({"starts_at": FIRST, "ends_at": LAST}, {"starts_at": YEARS, "ends_at": YEARS}),
        ({"ends_at": LAST, "zone": "Pacific/Kiritimati"}, {"ends_at": YEARS}),
        ({"at": FIRST, "zone": "America/Los_Angeles"}, {"at": YEARS}),
        ({"at": LAST}, {"at": YEARS}),
        ({"at": LAST.replace(year=3000), "ends_at": EPOCH}, {"at": YEARS}),
        ({"at": EPOCH, "starts_at": EPOCH + timedelta(seconds=1)}, {"at": "before the start"}),
        ({"at": EPOCH, "ends_at": EPOCH - timedelta(seconds=1)}, {"at": "after the end"}),
        (
            {"cron": "x", "zone": "Mars", "starts_at": EPOCH, "ends_at": EPOCH},
            {"cron": "1 field", "zone": "not a time zone", "ends_at": "later than the start"},
        ),
    ],
)
def test_faulty_limits_are_told_by_field(fields: dict[str, Any], faults: dict[str, str]) -> None:
    given = fields if fields.keys() & {"at", "cron"} else fields | {"every_seconds": 60}

    with pytest.raises(schedules.ScheduleFault) as caught:
        schedule(**given)

    assert caught.value.faults.keys() == faults.keys()
    assert all(words in caught.value.faults[field][0] for field, words in faults.items())


@pytest.mark.parametrize(
    ("fields", "calendars", "words"),
    [
        (
            {"cron": "0 9 * * 1-5", "zone": PRAGUE, "starts_at": instant("2026-06-30 22:00")},
            [],
            "At 09:00 on weekdays, Europe/Prague, from 1 July 2026 at 00:00",
        ),
        (
            {"every_seconds": 3600, "zone": PRAGUE, "ends_at": instant("2026-12-31 17:30:05")},
            ["Holidays"],
            "Every hour, Europe/Prague, until 31 December 2026 at 18:30:05, except on the days of "
            "“Holidays”",
        ),
        (
            {"every_seconds": 60, "starts_at": EPOCH, "ends_at": EPOCH + timedelta(days=1)},
            ["Holidays", "Fair", "Audit"],
            "Every minute, UTC, from 1 January 2026 at 00:00, until 2 January 2026 at 00:00, "
            "except on the days of “Holidays”, “Fair” and “Audit”",
        ),
    ],
)
def test_the_sentence_says_the_limits(
    fields: dict[str, Any], calendars: list[str], words: str
) -> None:
    assert schedules.sentence(schedule(**fields), calendars) == words


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
@pytest.mark.parametrize("field", ["at", "starts_at", "ends_at"])
@pytest.mark.parametrize("moment", [FIRST, LAST])
@pytest.mark.parametrize("naive", [True, False])
def test_a_preview_refuses_what_leaves_the_calendar(
    zone: str, field: str, moment: datetime, naive: bool
) -> None:
    moment = moment.replace(tzinfo=None if naive else UTC)
    given: dict[str, Any] = {"zone": zone, field: moment}
    given |= (
        {"schedule_kind": "at"} if field == "at" else {"schedule_kind": "cron", "cron": "@daily"}
    )

    with pytest.raises(ValidationError) as caught:
        preview(**given, now=EPOCH)

    assert caught.value.message_dict == {field: [YEARS]}


@pytest.mark.parametrize(
    ("field", "value"),
    [("jitter_seconds", -5), ("jitter_seconds", 3601), ("max_runs", -4), ("max_runs", 10**30)],
)
def test_a_preview_refuses_what_a_job_would(field: str, value: int) -> None:
    given: dict[str, Any] = {"schedule_kind": "cron", "cron": "x", field: value}

    with pytest.raises(ValidationError) as caught:
        preview(**given, now=EPOCH)

    assert caught.value.message_dict.keys() == {field, "cron"}


def marks(found: list[schedules.Upcoming]) -> list[str]:
    return [
        f"{time.slot:%H:%M}{' shifted' * time.shifted}{' repeated' * time.repeated}"
        for time in found
    ]


@pytest.mark.parametrize(
    ("fields", "after", "expected"),
    [
        ({"cron": "30 2 * * *"}, "2026-03-28 00:00", ["01:30", "01:00 shifted", "00:30"]),
        ({"cron": "30 2,3 * * *"}, "2026-03-28 22:00", ["01:00 shifted", "01:30"]),
        # What is moved falls together with a time that was asked for.
        ({"cron": "0,30 2,3 * * *"}, "2026-03-28 22:00", ["01:00", "01:30"]),
        ({"cron": "*/30 * * * *"}, "2026-03-29 00:20", ["00:30", "01:00", "01:30"]),
        ({"cron": "30 2 * * *"}, "2026-10-24 12:00", ["00:30", "01:30"]),
        ({"cron": "30 * * * *"}, "2026-10-25 00:00", ["00:30", "01:30 repeated", "02:30"]),
        (
            {"every_seconds": 1800},
            "2026-10-25 00:30",
            ["01:00 repeated", "01:30 repeated", "02:00"],
        ),
        ({"at": instant("2026-10-25 01:30")}, "2026-10-25 00:00", ["01:30 repeated"]),
    ],
)
def test_a_preview_marks_what_a_clock_change_moves_or_repeats(
    fields: dict[str, Any], after: str, expected: list[str]
) -> None:
    found = marked(schedule(zone=PRAGUE, **fields), instant(after), len(expected))

    assert marks(found) == expected
    assert all(time.due_at == time.slot for time in found)


def test_a_preview_says_when_jittered_runs_begin() -> None:
    job, hourly = UUID(int=3), schedule(cron="0 * * * *")
    ending = replace(hourly, ends_at=EPOCH + timedelta(hours=2))

    found = marked(ending, EPOCH, 5, job_id=job, jitter_seconds=3600)

    first, second = EPOCH + timedelta(hours=1), EPOCH + timedelta(hours=2)
    assert [time.slot for time in found] == [first, second]
    assert [time.due_at for time in found] == [
        due_time(job, first, 3600, second),
        due_time(job, second, 3600, None),
    ]
    assert all(time.due_at > time.slot for time in found)
