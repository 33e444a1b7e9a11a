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
    """What `make` returns, and its rows beside those that there are, which it leaves alone."""
    now = timezone.now()
    before = _all_rows()
    # With other rows before them, they may have other numbers.
    key = (make, *sorted((table, len(rows)) for table, rows in before.items()))
    kept = _kept.get(key)
    if kept is not None and kept.is_fresh(now):
        _put_back(kept.rows)
        return deepcopy(kept.made)  # type: ignore[no-any-return]
    made = make()
    _kept[key] = _Kept(now, deepcopy(made), _added(before, _all_rows()))
    return made


def _all_rows() -> dict[str, list[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        rows = {}
        for table in emptying.tables_with_rows():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows[table] = cursor.fetchall()
    return rows


def _added(before: Rows, after: Rows) -> Rows:
    added = {}
    for table, rows in after.items():
        there = set(before.get(table, ()))
        assert there <= set(rows), f"{table} had rows, which are others now"
        added[table] = [row for row in rows if row not in there]
    return added


def _put_back(rows: Rows) -> None:
    with connection.cursor() as cursor:
        for table, several in rows.items():
            for row in several[:1]:
                places = ", ".join(["%s"] * len(row))
                cursor.executemany(
                    f"INSERT INTO {connection.ops.quote_name(table)} VALUES ({places})", several
                )
