"""Series by the days of a zone, read from the sums by days of UTC and the few hours between.

A local day begins some hours before or after a day of UTC does. Reading it hour by hour would be
exact and slow; so each day of UTC counts for the step that most of it is in, and the hours between
a step's bound and the nearest midnight of UTC are then moved to where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from governance.usage.adding import STEP, Key, add_up
from governance.usage.frames import Frame, Range, frame

Amounts = tuple[int, ...]
DAY = timedelta(days=1)


def add_up_days(
    bounds: Sequence[datetime],
    now: datetime,
    *,
    keys: Sequence[str],
    sums: Sequence[str],
    where: Mapping[str, Any],
) -> dict[Key, Amounts]:
    """The `sums` by the number of the step and `keys`, of steps of a day or more: as `add_up` finds
    them, in six queries at most. Groups without any are left out."""
    nearest = [bounds[0], *(_midnight(one, bounds) for one in bounds[1:-1]), bounds[-1]]
    wanted: dict[str, Any] = {"keys": (STEP, *keys), "sums": sums, "where": where}
    found = add_up(frame(nearest, now), **wanted)
    moved = [(step, one) for step, one in enumerate(zip(bounds, nearest, strict=True)) if _far(one)]
    if not moved:
        return found
    ranges = [(min(one), max(one)) for _, one in moved]
    between = add_up(_frame_of(ranges, now), **wanted)
    for (number, *key), amounts in between.items():
        step, (bound, counted_from) = moved[number // 2]
        # What is after the bound and was counted before the midnight is the step's own.
        ahead = bound < counted_from
        _add(found, (step, *key), amounts, 1 if ahead else -1)
        _add(found, (step - 1, *key), amounts, -1 if ahead else 1)
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def _midnight(moment: datetime, bounds: Sequence[datetime]) -> datetime:
    """The midnight of UTC nearest to `moment`, within the bounds."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    nearest = day if moment - day < DAY / 2 else day + DAY
    return min(max(nearest, bounds[0]), bounds[-1])


def _far(pair: Range) -> bool:
    return pair[0] != pair[1]


def _frame_of(ranges: Sequence[Range], now: datetime) -> Frame:
    """What is in the ranges, each a step of an even number."""
    parts = [frame(one, now) for one in ranges]
    return Frame(
        bounds=tuple(moment for one in ranges for moment in one),
        days=tuple(one for part in parts for one in part.days),
        hours=tuple(one for part in parts for one in part.hours),
        moments=tuple(one for part in parts for one in part.moments),
    )


def _add(found: dict[Key, Amounts], key: Key, amounts: Amounts, times: int) -> None:
    before = found.get(key, (0,) * len(amounts))
    found[key] = tuple(amount + times * more for amount, more in zip(before, amounts, strict=True))
