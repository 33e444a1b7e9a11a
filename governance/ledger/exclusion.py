"""Keeping batches and the opening of windows apart.

A window opens with what the ledger already says, so while it is counted no batch may be under way
in any process. On PostgreSQL a batch takes an advisory lock shared and an opening takes it alone;
its queue is fair, so neither starves. On SQLite a writing transaction is alone anyway.
"""

from __future__ import annotations

from django.db import connection

LEDGER_LOCK = 0x70616C7972610001  # "palyra", 1


def share_ledger() -> None:
    """Let no window be opened until this transaction ends."""
    _lock("pg_advisory_xact_lock_shared")


def own_ledger() -> None:
    """Let no batch and no opening be under way until this transaction ends."""
    _lock("pg_advisory_xact_lock")


def _lock(function: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [LEDGER_LOCK])
