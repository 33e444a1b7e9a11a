"""Emptying the database after tests that commit: only what is not empty, so in a moment.

Django empties every table, and then makes content types and permissions anew; these stay here. The
audit trail refuses to be emptied, so for this moment nobody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = {"auth_permission", "django_content_type", "django_migrations"}


def install() -> None:
    """Have this done after each test that commits."""

    def empty_instead(self: Any) -> None:
        empty()

    TransactionTestCase._fixture_teardown = empty_instead  # type: ignore[attr-defined]


def empty() -> None:
    """Delete every row, but for what a migrated database begins with."""
    tables = tables_with_rows()
    if not tables:
        return
    statements = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
    if connection.vendor == "postgresql":
        # Neither triggers nor references are looked at.
        _execute(["SET LOCAL session_replication_role = replica", *statements])
    else:
        _on_sqlite(tables, statements)


def tables_with_rows() -> list[str]:
    """The tables of Palyra that have any row but what a migrated database begins with."""
    existing = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = sorted(set(existing) - KEPT)
    looks = (
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})"
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(looks))
        return [name for (name,) in cursor.fetchall()]


def _on_sqlite(tables: Sequence[str], statements: list[str]) -> None:
    from governance.audit import append_only  # noqa: PLC0415 - once Django is set up

    made, removed = append_only.statements("sqlite")
    if append_only.TABLE in tables:
        statements = [*removed, *statements, *made]
    with connection.constraint_checks_disabled():
        _execute(statements)


def _execute(statements: Sequence[str]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
