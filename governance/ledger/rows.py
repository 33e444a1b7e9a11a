"""Writing many rows at once: one prepared statement for all of them.

The ORM's `bulk_create` and `bulk_update` build an expression for every value of every row, which is
most of what a batch of the ledger would cost. Values still pass through their fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, models


def insert(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model whose primary keys are set. Signals are not sent."""
    if not rows:
        return
    fields = list(rows[0]._meta.concrete_fields)
    columns = ", ".join(_column(field) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    _execute(f"INSERT INTO {_table(rows[0])} ({columns}) VALUES ({places})", fields, rows)  # noqa: S608


def update(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write the fields `names` of rows of one model, found by primary key."""
    if not rows:
        return
    by_name = {field.name: field for field in rows[0]._meta.concrete_fields}
    fields = [by_name[name] for name in names]
    assignments = ", ".join(f"{_column(field)} = %s" for field in fields)
    statement = f"UPDATE {_table(rows[0])} SET {assignments} WHERE {_column(by_name['id'])} = %s"  # noqa: S608
    _execute(statement, [*fields, by_name["id"]], rows)


def _execute(
    statement: str, fields: Sequence[models.Field[Any, Any]], rows: Sequence[models.Model]
) -> None:
    values = [
        [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _table(row: models.Model) -> str:
    return connection.ops.quote_name(row._meta.db_table)


def _column(field: models.Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))
