"""When a cron expression's local times come. Where clocks are changed it is as in Debian's cron:

- A job whose minute or hour field begins with `*` follows real time: a skipped local time does not
  come, a repeated one comes twice.
- Any other job is meant for a wall-clock time: one that is skipped by a change of at most three
  hours comes right after it, and a repeated one comes once, the first time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduling.clock_changes import (
    change_between,
    end_of_gap,
    gap,
    instants,
    offset,
    wall_clock,
    will_repeat,
)
from scheduling.cron import ONE_MINUTE, CronExpression, next_label

LONGEST_GAP_TO_MAKE_UP = timedelta(hours=3)


def next_time(expression: CronExpression, where: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant later than `after` at which a job in the zone `where` runs, in UTC."""
    local = after.astimezone(where)
    found = _first_to_come(expression, where, after)
    if not expression.wildcard or not will_repeat(local):
        return found
    # Clocks will show this hour again, and what lies behind us in it comes a second time.
    again = _first_of_second_pass(expression, where, after)
    return min((time for time in (found, again) if time is not None), default=None)


def _first_to_come(expression: CronExpression, where: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant later than `after` of a label later than what clocks show then."""
    label = next_label(expression, wall_clock(after, where))
    while label is not None:
        shown = instants(label, where)
        if not shown and not expression.wildcard:
            shown = _made_up(label, where)
        elif not expression.wildcard:
            shown = shown[:1]
        for instant in shown:
            if instant > after:
                return instant
        if not shown:
            label = wall_clock(end_of_gap(label, where), where) - ONE_MINUTE
        label = next_label(expression, label)
    return None


def _first_of_second_pass(
    expression: CronExpression, where: ZoneInfo, after: datetime
) -> datetime | None:
    local = after.astimezone(where)
    longest = offset(local) - offset(local.replace(fold=1))
    start = wall_clock(change_between(where, after, after + longest), where)
    label = next_label(expression, start - ONE_MINUTE)
    shown = instants(label, where) if label is not None else []
    return shown[-1] if shown else None


def _made_up(label: datetime, where: ZoneInfo) -> list[datetime]:
    """When a fixed-time job whose `label` is skipped runs instead."""
    return [end_of_gap(label, where)] if gap(label, where) <= LONGEST_GAP_TO_MAKE_UP else []
