"""Rows that one test after another wants, made once and then put back: that takes a twentieth.

What `make` stores is read after the first time, and written as it was for the next tests, whose
transactions end as that of the first did. It is made anew once it is old, as much of it is told
from the present.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from django.utils import timezone

from tests import emptying

MadeT = TypeVar("MadeT")
Rows = Mapping[str, Sequence[tuple[Any, ...]]]
FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Kept:
    at: datetime
    made: Any
    rows: Rows

    def is_fresh(self, now: datetime) -> bool:
        """Whether it still tells of now, and of this hour."""
        return now - self.at < FRESH and now.hour == self.at.hour


_kept: dict[Any, _Kept] = {}


def made_once(make: Callable[[], MadeT]) -> MadeT:
    """What `make` returns, and its rows beside those that there are. If it changes one of these, it
    is made each time."""
    now = timezone.now()
    before = _all_rows()
    # With other rows before them, they may have other numbers.
    key = (make, *sorted((table, len(rows)) for table, rows in before.items()))
    kept = _kept.get(key)
    if kept is not None and kept.is_fresh(now):
        _put_back(kept.rows)
        return deepcopy(kept.made)  # type: ignore[no-any-return]
    made = make()
    after = _all_rows()
    if all(set(rows) <= set(after.get(table, ())) for table, rows in before.items()):
        _kept[key] = _Kept(now, deepcopy(made), _added(before, after))
    return made


def _all_rows() -> dict[str, list[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        rows = {}
        for table in emptying.tables_with_rows():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows[table] = cursor.fetchall()
    return rows


def _added(before: Rows, after: Rows) -> Rows:
    there = {table: set(rows) for table, rows in before.items()}
    return {
        table: [row for row in rows if row not in there.get(table, ())]
        for table, rows in after.items()
    }


def _put_back(rows: Rows) -> None:
    with connection.cursor() as cursor:
        for table, several in rows.items():
            for row in several[:1]:
                places = ", ".join(["%s"] * len(row))
                cursor.executemany(
                    f"INSERT INTO {connection.ops.quote_name(table)} VALUES ({places})", several
                )
