"""Adding up what a frame names: one statement for each grain that it reads, three at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from governance.ledger.recounting import cut
from governance.usage.frames import Frame, Range

# A key like the dimensions: the number of the frame's step, from 0.
STEP = "step"
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Grain:
    """Where sums of one grain are, and which of them are wanted."""

    source: str
    source_params: tuple[Any, ...]
    moment: str
    condition: str
    condition_params: tuple[Any, ...]


def add_up(
    frame: Frame, *, keys: Sequence[str], sums: Sequence[str], where: Mapping[str, Any]
) -> dict[Key, tuple[int, ...]]:
    """The `sums` by `keys` of whatever has the values of `where`; groups without any are left out.

    Keys and sums are columns of `UsageHour`, and `STEP`; they are never text from outside.
    """
    found: dict[Key, tuple[int, ...]] = {}
    for grain in _grains(frame):
        for row in _rows(grain, frame, keys, sums, where):
            key, amounts = row[: len(keys)], row[len(keys) :]
            before = found.get(key)
            if before is not None:
                amounts = tuple(map(int.__add__, before, amounts))
            found[key] = amounts
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def _grains(frame: Frame) -> Iterator[_Grain]:
    for table, moment, ranges in (
        ("governance_usageday", "day", frame.days),
        ("governance_usagehour", "hour", frame.hours),
    ):
        if ranges:
            yield _Grain(table, (), moment, *within(moment, ranges))
    if frame.moments:
        condition, params = within("admitted_at", frame.moments)
        calls = cut(connection.vendor, condition)
        yield _Grain(f"({calls.query}) AS calls", params, "at", "1 = 1", ())


def _rows(
    grain: _Grain, frame: Frame, keys: Sequence[str], sums: Sequence[str], where: Mapping[str, Any]
) -> list[Any]:
    shown, params = [], []
    for key in keys:
        text, more = _step(grain.moment, frame.bounds) if key == STEP else (key, [])
        shown.append(text)
        params += more
    # PostgreSQL adds whole numbers up to something that is none.
    shown += [f"CAST(COALESCE(SUM({name}), 0) AS bigint)" for name in sums]
    conditions = [grain.condition, *(f"{name} = %s" for name in where)]
    places = ", ".join(str(number) for number in range(1, len(keys) + 1))
    statement = (
        f"SELECT {', '.join(shown)} FROM {grain.source} "  # noqa: S608 - columns and tables only
        f"WHERE {' AND '.join(conditions)}" + (f" GROUP BY {places}" if places else "")
    )
    with connection.cursor() as cursor:
        values = [*params, *grain.source_params, *grain.condition_params, *where.values()]
        cursor.execute(statement, values)
        found: list[Any] = cursor.fetchall()
    return found


def within(column: str, ranges: Sequence[Range]) -> tuple[str, tuple[Any, ...]]:
    """The condition that `column` is in one of `ranges`, and its parameters."""
    condition = " OR ".join(f"({column} >= %s AND {column} < %s)" for _ in ranges)
    return f"({condition})", tuple(stored(moment) for one in ranges for moment in one)


def stored(moment: datetime) -> Any:
    """A moment as the database keeps it."""
    return connection.ops.adapt_datetimefield_value(moment)


def _step(column: str, bounds: Sequence[datetime], first: int = 0) -> tuple[str, list[Any]]:
    """The number of the step that `column` is in: a search in halves, so that hundreds of steps
    cost a row no more than ten comparisons."""
    steps = len(bounds) - 1
    if steps == 1:
        return str(first), []
    middle = steps // 2
    before, params_before = _step(column, bounds[: middle + 1], first)
    after, params_after = _step(column, bounds[middle:], first + middle)
    text = f"CASE WHEN {column} < %s THEN {before} ELSE {after} END"
    return text, [stored(bounds[middle]), *params_before, *params_after]
