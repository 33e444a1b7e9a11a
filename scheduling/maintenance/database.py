"""Keeping the database itself in order, without making any writer wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted, named

MEGABYTE = 1024**2
# Rows of each index that are looked at for the planner's statistics: a few milliseconds each.
ANALYSIS_LIMIT = 400
# SQLite looks this often, in steps of its machine, whether a statement is to go on.
STEPS = 50_000
INCREMENTAL = 2
MOST_PAGES = 5000
MOST_TABLES = 5
# Autovacuum begins at a fifth; a table where half is dead is one it does not get to.
FEWEST_DEAD = 10_000


@contextmanager
def bounded(goes_on: Callable[[], bool], seconds: int) -> Iterator[None]:
    """Let statements of the block, which only reads, take no longer: they fail then."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{seconds}s'")
            yield
        return
    connection.ensure_connection()
    raw = connection.connection
    raw.set_progress_handler(lambda: int(not goes_on()), STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def tend(turn: Turn) -> str:
    """Do what this kind of database is the better for."""
    return _postgresql(turn) if connection.vendor == "postgresql" else _sqlite()


def _sqlite() -> str:
    """Statistics, the write-ahead log, and free pages where they can be given back bit by bit."""
    patience = _pragma("busy_timeout")
    # Nobody waits for this: where others read or write just now, the log is emptied another time.
    _pragma("busy_timeout = 0")
    try:
        _pragma(f"analysis_limit = {ANALYSIS_LIMIT}")
        _pragma("optimize")
        busy = _pragma("wal_checkpoint(TRUNCATE)")
        if _pragma("auto_vacuum") == INCREMENTAL:
            _pragma(f"incremental_vacuum({MOST_PAGES})")
    finally:
        _pragma(f"busy_timeout = {patience}")
    page, pages, free = (_pragma(name) for name in ("page_size", "page_count", "freelist_count"))
    log = "stays until nobody uses it" if busy else "is empty"
    return (
        f"Statistics are fresh and the write-ahead log {log}. The file has "
        f"{page * pages / MEGABYTE:,.1f} MB, {page * free / MEGABYTE:,.1f} MB of them free for "
        "what comes."
    )


def _pragma(text: str) -> int:
    """The first value of the answer; 0 where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {text}")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _postgresql(turn: Turn) -> str:
    """Vacuum what autovacuum does not keep up with; neither readers nor writers wait for that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        size = cursor.fetchone()[0]
        cursor.execute(
            "SELECT relname FROM pg_stat_user_tables "
            "WHERE schemaname = current_schema() AND n_dead_tup > greatest(%s, n_live_tup) "
            "ORDER BY n_dead_tup DESC LIMIT %s",
            [FEWEST_DEAD, MOST_TABLES],
        )
        tables = [name for (name,) in cursor.fetchall()]
        for name in tables:
            if turn.goes_on():
                quoted = connection.ops.quote_name(name)
                cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {quoted}")
    words = f"The database has {size / MEGABYTE:,.1f} MB."
    if not tables:
        return f"{words} Autovacuum keeps up."
    many = counted(len(tables), "table", "tables")
    return f"{words} Vacuumed {many} that autovacuum did not keep up with: {named(tables)}."
