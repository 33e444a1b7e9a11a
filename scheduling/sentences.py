"""Schedules in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import product

from governance.listing import listed
from scheduling.cron import CronExpression, CronField

UNITS = ((7 * 86400, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
WORKING_DAYS = (1, 2, 3, 4, 5)
WEEKEND = (0, 6)
MOST_TIMES = 6
SHORTEST_RUN = 3


def every_sentence(seconds: int) -> str:
    """An interval, such as “Every 90 minutes” or “Every hour”."""
    for length, unit in UNITS:
        if seconds % length == 0:
            count = seconds // length
            return f"Every {unit}" if count == 1 else f"Every {count:,} {unit}s"
    return f"Every {seconds:,} seconds"


def at_sentence(local: datetime, zone: str) -> str:
    """A single time, such as “Once, on 25 October 2026 at 09:00, Europe/Prague”."""
    return f"Once, on {_moment(local)}, {zone}"


def limits_sentence(
    starts: datetime | None, ends: datetime | None, calendars: Sequence[str]
) -> str:
    """What follows a schedule's sentence, such as “, except on the days of “Holidays””."""
    words = f", from {_moment(starts)}" if starts else ""
    words += f", until {_moment(ends)}" if ends else ""
    if calendars:
        words += f", except on the days of {listed(f'“{name}”' for name in calendars)}"
    return words


def _moment(local: datetime) -> str:
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local.day} {MONTHS[local.month - 1]} {local.year} at {clock}"


def cron_sentence(expression: CronExpression, zone: str) -> str:
    """A cron expression, such as “At 09:00 on weekdays, Europe/Prague”."""
    return f"{_times(expression)}{_days(expression)}{_months(expression)}, {zone}"


def _times(expression: CronExpression) -> str:
    minute, hour = expression.minute, expression.hour
    if minute.full:
        return "Every minute" if hour.full else f"Every minute {_in_hours(expression)}"
    if len(minute.values) * len(hour.values) <= MOST_TIMES and not hour.full:
        clocks = [f"{h:02}:{m:02}" for h, m in product(hour.values, minute.values)]
        return f"At {listed(clocks)}{' every day' if expression.every_day else ''}"
    interval = _regular(minute.values, 60)
    if interval:
        times = f"Every {interval} minutes"
        return times if hour.full else f"{times} {_in_hours(expression)}"
    return _past_the_hour(expression)


def _past_the_hour(expression: CronExpression) -> str:
    minute, hour = expression.minute, expression.hour
    if minute.values == (0,):
        past = "On the hour"
    else:
        ending = "minute" if minute.values == (1,) else "minutes"
        past = f"At {_numbers(minute.values)} {ending} past the hour"
    if hour.full:
        return f"{past}, every hour"
    interval = _regular(hour.values, 24)
    if interval:
        return f"{past}, every {interval} hours from 00:00"
    return f"{past}, {_in_hours(expression)}"


def _in_hours(expression: CronExpression) -> str:
    hours, minutes = expression.hour.values, expression.minute.values
    interval = _regular(hours, 24)
    if interval:
        return f"in every {_ordinal(interval)} hour from 00:00"
    if hours[-1] - hours[0] + 1 == len(hours):
        return f"from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[-1]:02}"
    return f"in the hours {_numbers(hours)}"


def _days(expression: CronExpression) -> str:
    if expression.every_day:
        return ""
    day, weekday, month = expression.day, expression.weekday, expression.month
    of = "the month" if len(month.values) > 1 else MONTHS[month.values[0] - 1]
    if expression.either_day:
        return f" on {_days_of_month(day)} of {of} and on {_weekdays(weekday.values)}"
    if day.full:
        return f" on {_weekdays(weekday.values)}"
    if weekday.full:
        return f" on {_days_of_month(day)} of {of}"
    return f" on {_days_of_month(day)} of {of} if it is {_one_of(weekday.values)}"


def _months(expression: CronExpression) -> str:
    values = expression.month.values
    named = [MONTHS[value - 1] for value in values]
    if expression.month.full:
        return ""
    if len(values) == 1 and _names_days_of_month(expression):
        return ""
    return f" from {named[0]} to {named[-1]}" if _unbroken(values) else f" in {listed(named)}"


def _names_days_of_month(expression: CronExpression) -> bool:
    return not expression.every_day and (expression.either_day or not expression.day.full)


def _weekdays(values: tuple[int, ...]) -> str:
    if values == WORKING_DAYS:
        return "weekdays"
    if values == WEEKEND:
        return "weekends"
    # A week is read from Monday on.
    ordered = sorted(values, key=lambda value: value or len(WEEKDAYS))
    return listed(f"{WEEKDAYS[value]}s" for value in ordered)


def _one_of(values: tuple[int, ...]) -> str:
    ordered = sorted(values, key=lambda value: value or len(WEEKDAYS))
    return listed([f"a {WEEKDAYS[value]}" for value in ordered], "or")


def _days_of_month(day: CronField) -> str:
    values = day.values
    if _unbroken(values):
        return f"the {_ordinal(values[0])} to the {_ordinal(values[-1])}"
    step = values[1] - values[0] if len(values) >= SHORTEST_RUN else 0
    if step and values == tuple(range(1, 32, step)):
        return f"every {_ordinal(step)} day from the 1st"
    return f"the {listed(_ordinal(value) for value in values)}"


def _numbers(values: tuple[int, ...]) -> str:
    if _unbroken(values):
        return f"{values[0]} to {values[-1]}"
    return listed(values)


def _unbroken(values: tuple[int, ...]) -> bool:
    return len(values) >= SHORTEST_RUN and values[-1] - values[0] + 1 == len(values)


def _regular(values: tuple[int, ...], whole: int) -> int | None:
    """The interval of values spread evenly from 0 over the whole hour or day, else None."""
    if len(values) < SHORTEST_RUN - 1 or whole % len(values):
        return None
    interval = whole // len(values)
    return interval if interval > 1 and values == tuple(range(0, whole, interval)) else None


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in {11, 12, 13} else ending}"
