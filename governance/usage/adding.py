"""Adding up what a frame names: one statement for each grain that it reads, three at most; of a
grain that it reads in more than a hundred ranges, one for each hundred."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.db import connection

from governance.ledger.recounting import CALLS, of_calls
from governance.models.usage import DIMENSIONS
from governance.usage.frames import Frame, Range

# A key like the dimensions: the number of the frame's step, from 0.
STEP = "step"
# So many ranges are looked up by one statement.
AT_ONCE = 100
Key = tuple[Any, ...]
Amounts = tuple[int, ...]
Where = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where sums are, what keys and sums are called there, and which rows are wanted."""

    table: str
    keys: Mapping[str, str]
    sums: Mapping[str, str]
    condition: str
    params: tuple[Any, ...]

    def select(self, keys: Sequence[str], sums: Sequence[str], where: Where) -> str:
        """The statement; its parameters are `params` and the values of `where`."""
        shown = [self.keys[name] for name in keys]
        # PostgreSQL adds whole numbers up to something that is none.
        shown += [f"CAST(COALESCE({self.sums[name]}, 0) AS bigint)" for name in sums]
        conditions = [self.condition, *(f"{self.keys[name]} = %s" for name in where)]
        places = ", ".join(str(number) for number in range(1, len(keys) + 1))
        return (
            f"SELECT {', '.join(shown)} FROM {self.table} "  # noqa: S608 - columns and tables only
            f"WHERE {' AND '.join(conditions)}" + (f" GROUP BY {places}" if places else "")
        )


def add_up(
    frame: Frame, *, keys: Sequence[str], sums: Sequence[str], where: Where
) -> dict[Key, Amounts]:
    """The `sums` by `keys` of whatever has the values of `where`; groups without any are left out.

    Keys and sums are columns of `UsageHour`, and `STEP`, which comes first if it is wanted; they
    are never text from outside.
    """
    found: dict[Key, Amounts] = {}
    by_step = STEP in keys
    for sources in (*_of_sums(frame, sums), *_batched(_of_calls(frame, sums), AT_ONCE)):
        for row in _rows(sources, keys, sums, where):
            key, amounts = row[: len(keys)], row[len(keys) :]
            if by_step:
                key = _step(key[0], frame.bounds), *key[1:]
            before = found.get(key)
            found[key] = tuple(map(int.__add__, before, amounts)) if before else tuple(amounts)
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def _step(value: Any, bounds: Sequence[datetime]) -> int:
    """The number of the step, for a row of calls, or for the moment a sum begins."""
    if isinstance(value, int):
        return value
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return bisect_right(bounds, moment) - 1


def _of_sums(frame: Frame, sums: Sequence[str]) -> Iterator[tuple[_Source, ...]]:
    """One for each range: with many ranges in one condition, SQLite would read the whole table."""
    for table, moment, ranges in (
        ("governance_usageday", "day", frame.days),
        ("governance_usagehour", "hour", frame.hours),
    ):
        keys = {**{name: name for name in DIMENSIONS}, STEP: moment}
        added = {name: f"SUM({name})" for name in sums}
        within = f"{moment} >= %s AND {moment} < %s"
        sources = (_Source(table, keys, added, within, _params([one])) for one in ranges)
        yield from _batched(sources, AT_ONCE)


def _of_calls(frame: Frame, sums: Sequence[str]) -> Iterator[_Source]:
    """One for each range, for only so is it sure to be looked up in the index by time."""
    calls = of_calls(connection.vendor)
    for one in frame.moments:
        yield _Source(
            CALLS,
            {**calls.dimensions, STEP: str(bisect_right(frame.bounds, one[0]) - 1)},
            calls.sums,
            f"admitted_at >= %s AND admitted_at < %s AND {calls.condition}",
            _params([one]),
        )


def _rows(
    sources: Sequence[_Source], keys: Sequence[str], sums: Sequence[str], where: Where
) -> list[Any]:
    statement = " UNION ALL ".join(one.select(keys, sums, where) for one in sources)
    params = [value for one in sources for value in (*one.params, *where.values())]
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        found: list[Any] = cursor.fetchall()
    return found


def _params(ranges: Sequence[Range]) -> tuple[Any, ...]:
    """Moments as the database keeps them."""
    adapt = connection.ops.adapt_datetimefield_value
    return tuple(adapt(moment) for one in ranges for moment in one)


def _batched(sources: Iterable[_Source], size: int) -> Iterator[tuple[_Source, ...]]:
    """The sources, so many at a time."""
    left = iter(sources)
    while some := tuple(islice(left, size)):
        yield some
