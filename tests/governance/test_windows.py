"""When a budget's window begins and ends: the calendar of a zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.windows import BEGINNING, Period, period

ZONES = [
    "UTC",
    "Europe/Prague",
    "America/New_York",
    "Africa/Cairo",  # skips midnight in April, repeats the hour before it in October
    "America/Havana",  # skips midnight in March, repeats it in November
    "America/Sao_Paulo",  # skipped midnight until 2018
    "Asia/Beirut",
    "Australia/Lord_Howe",  # moves by half an hour
    "Asia/Kathmandu",  # 5:45 ahead
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Kiritimati",
    "Antarctica/Troll",  # moves by two hours
]
CALENDAR = ["minute", "hour", "day", "week", "month", "quarter", "year"]
YEARS = timedelta(days=33 * 365)
moments = st.timedeltas(timedelta(), YEARS).map(
    lambda since: datetime(2005, 1, 1, tzinfo=UTC) + since
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "zone", "now", "starts_at", "ends_at"),
    [
        pytest.param(
            "day", "UTC", "2026-03-15T12:30", "2026-03-15T00:00", "2026-03-16T00:00", id="a day"
        ),
        pytest.param(
            "day", "UTC", "2026-03-15T00:00", "2026-03-15T00:00", "2026-03-16T00:00", id="its start"
        ),
        pytest.param(
            "month", "UTC", "2024-02-29T12:00", "2024-02-01T00:00", "2024-03-01T00:00", id="a month"
        ),
        pytest.param(
            "month",
            "UTC",
            "2026-12-31T23:59",
            "2026-12-01T00:00",
            "2027-01-01T00:00",
            id="a December",
        ),
        pytest.param(
            "day",
            "Europe/Prague",
            "2026-12-31T23:30",
            "2026-12-31T23:00",
            "2027-01-01T23:00",
            id="the new year comes earlier there",
        ),
        pytest.param(
            "month",
            "America/New_York",
            "2027-01-01T04:00",
            "2026-12-01T05:00",
            "2027-01-01T05:00",
            id="the old year lasts longer there",
        ),
        pytest.param(
            "day",
            "Europe/Prague",
            "2026-03-29T12:00",
            "2026-03-28T23:00",
            "2026-03-29T22:00",
            id="a day of 23 hours",
        ),
        pytest.param(
            "day",
            "Europe/Prague",
            "2026-10-25T12:00",
            "2026-10-24T22:00",
            "2026-10-25T23:00",
            id="a day of 25 hours",
        ),
        pytest.param(
            "month",
            "Europe/Prague",
            "2026-03-31T12:00",
            "2026-02-28T23:00",
            "2026-03-31T22:00",
            id="a month with a change of clocks",
        ),
        pytest.param(
            "day",
            "America/New_York",
            "2026-03-08T12:00",
            "2026-03-08T05:00",
            "2026-03-09T04:00",
            id="spring in New York",
        ),
        pytest.param(
            "day",
            "America/New_York",
            "2026-11-01T12:00",
            "2026-11-01T04:00",
            "2026-11-02T05:00",
            id="autumn in New York",
        ),
        pytest.param(
            "day",
            "Africa/Cairo",
            "2026-04-24T12:00",
            "2026-04-23T22:00",
            "2026-04-24T21:00",
            id="a day without its midnight",
        ),
        pytest.param(
            "day",
            "Africa/Cairo",
            "2026-04-23T21:59",
            "2026-04-22T22:00",
            "2026-04-23T22:00",
            id="the day before it",
        ),
        pytest.param(
            "day",
            "Africa/Cairo",
            "2026-10-29T21:30",
            "2026-10-28T21:00",
            "2026-10-29T22:00",
            id="the hour before midnight comes again",
        ),
        pytest.param(
            "day",
            "America/Havana",
            "2026-11-01T05:30",
            "2026-11-01T04:00",
            "2026-11-02T05:00",
            id="midnight comes twice, and the first one counts",
        ),
        pytest.param(
            "day",
            "Pacific/Apia",
            "2011-12-30T09:59",
            "2011-12-29T10:00",
            "2011-12-30T10:00",
            id="the last day before the missing one",
        ),
        pytest.param(
            "day",
            "Pacific/Apia",
            "2011-12-30T10:00",
            "2011-12-30T10:00",
            "2011-12-31T10:00",
            id="the first day after the missing one",
        ),
        pytest.param(
            "month",
            "Pacific/Apia",
            "2011-12-30T12:00",
            "2011-12-01T10:00",
            "2011-12-31T10:00",
            id="a December of thirty days",
        ),
        pytest.param(
            "minute",
            "Europe/Prague",
            "2026-03-29T01:00:30",
            "2026-03-29T01:00",
            "2026-03-29T01:01",
            id="a minute of UTC's, as clocks change",
        ),
        pytest.param(
            "hour",
            "Europe/Prague",
            "2026-10-25T01:59:59",
            "2026-10-25T01:00",
            "2026-10-25T02:00",
            id="an hour of UTC's, that clocks repeat",
        ),
        pytest.param(
            "hour",
            "Asia/Kathmandu",
            "2026-05-05T05:20",
            "2026-05-05T05:00",
            "2026-05-05T06:00",
            id="an hour of UTC's, where zones are off by quarters",
        ),
        pytest.param(
            "hour",
            "Australia/Lord_Howe",
            "2026-04-04T15:10",
            "2026-04-04T15:00",
            "2026-04-04T16:00",
            id="an hour of UTC's, where clocks move by half of one",
        ),
        pytest.param(
            "week",
            "UTC",
            "2026-03-15T23:59",
            "2026-03-09T00:00",
            "2026-03-16T00:00",
            id="a week ends with its Sunday",
        ),
        pytest.param(
            "week",
            "UTC",
            "2026-03-16T00:00",
            "2026-03-16T00:00",
            "2026-03-23T00:00",
            id="and begins with its Monday",
        ),
        pytest.param(
            "week",
            "Europe/Prague",
            "2026-12-31T12:00",
            "2026-12-27T23:00",
            "2027-01-03T23:00",
            id="a week across the new year",
        ),
        pytest.param(
            "week",
            "Europe/Prague",
            "2026-03-28T12:00",
            "2026-03-22T23:00",
            "2026-03-29T22:00",
            id="a week of 167 hours",
        ),
        pytest.param(
            "week",
            "America/New_York",
            "2026-11-01T12:00",
            "2026-10-26T04:00",
            "2026-11-02T05:00",
            id="a week of 169 hours",
        ),
        pytest.param(
            "week",
            "Australia/Lord_Howe",
            "2026-04-05T03:00",
            "2026-03-29T13:00",
            "2026-04-05T13:30",
            id="a week that is longer by half an hour",
        ),
        pytest.param(
            "quarter",
            "UTC",
            "2026-03-31T23:59",
            "2026-01-01T00:00",
            "2026-04-01T00:00",
            id="the first quarter's last minute",
        ),
        pytest.param(
            "quarter",
            "UTC",
            "2026-04-01T00:00",
            "2026-04-01T00:00",
            "2026-07-01T00:00",
            id="the second quarter's first",
        ),
        pytest.param(
            "quarter",
            "Europe/Prague",
            "2026-12-31T22:59",
            "2026-09-30T22:00",
            "2026-12-31T23:00",
            id="the last quarter, which changes its clocks",
        ),
        pytest.param(
            "quarter",
            "America/New_York",
            "2026-03-31T12:00",
            "2026-01-01T05:00",
            "2026-04-01T04:00",
            id="the first quarter in New York",
        ),
        pytest.param(
            "day",
            "Australia/Lord_Howe",
            "2026-10-03T20:00",
            "2026-10-03T13:30",
            "2026-10-04T13:00",
            id="a day of 23 hours and a half",
        ),
        pytest.param(
            "year",
            "UTC",
            "2024-02-29T12:00",
            "2024-01-01T00:00",
            "2025-01-01T00:00",
            id="a leap year",
        ),
        pytest.param(
            "year",
            "Pacific/Kiritimati",
            "2026-12-31T10:00",
            "2026-12-31T10:00",
            "2027-12-31T10:00",
            id="the year begins first there",
        ),
    ],
)
def test_a_period_is_a_stretch_of_the_zones_calendar(
    interval: str, zone: str, now: str, starts_at: str, ends_at: str
) -> None:
    assert period(interval, zone, utc(now)) == Period(utc(starts_at), utc(ends_at))


@pytest.mark.parametrize("interval", ["total", "run"])
def test_a_total_and_a_run_have_one_window_for_ever(interval: str) -> None:
    assert period(interval, "Europe/Prague", utc("2026-03-15T12:00")) == Period(BEGINNING, None)


def test_an_unknown_interval_is_an_error() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        period("fortnight", "UTC", utc("2026-03-15T12:00"))


@given(now=moments, zone=st.sampled_from(ZONES), interval=st.sampled_from(CALENDAR))
def test_now_is_inside_and_neighbours_touch(now: datetime, zone: str, interval: str) -> None:
    current = period(interval, zone, now)
    assert current.ends_at is not None
    assert current.starts_at <= now < current.ends_at
    assert current.starts_at.tzinfo is UTC
    # Every moment of it, the first and the last one too, says the same of where it is.
    last = current.ends_at - timedelta(microseconds=1)
    assert period(interval, zone, current.starts_at) == current
    assert period(interval, zone, last) == current
    before = period(interval, zone, current.starts_at - timedelta(microseconds=1))
    after = period(interval, zone, current.ends_at)
    assert before.ends_at == current.starts_at
    assert after.starts_at == current.ends_at


@given(now=moments, zone=st.sampled_from(ZONES))
def test_a_day_is_one_date_and_months_are_made_of_days(now: datetime, zone: str) -> None:
    day, month = period("day", zone, now), period("month", zone, now)
    assert day.ends_at is not None
    assert month.ends_at is not None
    assert month.starts_at <= day.starts_at < day.ends_at <= month.ends_at
    dates = {
        moment.astimezone(ZoneInfo(zone)).date()
        for moment in (day.starts_at, now, day.ends_at - timedelta(microseconds=1))
    }
    assert len(dates) == 1


@given(now=moments, zone=st.sampled_from(ZONES), offset=st.integers(-14, 14))
def test_the_zone_that_now_is_written_in_does_not_matter(
    now: datetime, zone: str, offset: int
) -> None:

    elsewhere = now.astimezone(timezone(timedelta(hours=offset)))
    assert period("day", zone, elsewhere) == period("day", zone, now)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2011, 2018, 2026])
def test_a_years_days_follow_one_another_without_a_gap(zone: str, year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    dates = []
    while moment.year < year + 1:
        day = period("day", zone, moment)
        assert day.ends_at is not None
        assert timedelta(hours=22) <= day.ends_at - day.starts_at <= timedelta(hours=26)
        dates.append(moment.astimezone(ZoneInfo(zone)).date())
        moment = day.ends_at
    assert dates == sorted(set(dates))
    assert len(dates) in {364, 365, 366}
