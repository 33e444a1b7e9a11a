"""What SQLite's planner does with the overview's questions once it knows of a million calls.

Only SQLite needs telling, so these are no tests for PostgreSQL. It is told: with the schema and the
statistics of such a ledger, it plans as it does for one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.console.counted import make_call
from tests.support.factories import make_model, make_provider, make_team

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
# What ANALYZE said of each index of `benchmarks.overview`'s ledger: rows, then rows per value of
# its first column, and of its first two. Small partial indexes have none.
STATISTICS = {
    "call_by_person": "100000 2084 1",
    "call_by_cost": "1000000 167 1",
    "call_by_surface": "1000000 333334 1",
    "call_by_provider": "1000000 333334 1",
    "call_by_model": "1000000 166667 1",
    "call_by_status": "1000000 200000 1",
    "call_by_job": "100003 2778 1",
    "call_by_session": "399999 20 1",
    "call_by_key": "1000000 40000 1",
    "call_by_team": "1000000 83334 1",
}
# Tables before the indexes on them.
SCHEMA = (
    "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
    " ORDER BY type DESC"
)
# Few rows, or those of a moment or between two.
BOUNDED = re.compile(r"INDEX (call_in_flight|call_waiting)|admitted_at[<>=]|\(id=\?\)")
# Calls are not so for long.
PASSING = re.compile(r"\(status = '(in_flight|waiting)'\)")
# But for whether there are any at all.
OF_CALLS = re.compile(r'FROM "?governance_modelcall"?(?!.* LIMIT 1$)')
PAGES = (
    "/admin/",
    "/admin/?period=month",
    "/admin/?by=model",
    "/admin/?team={team}",
    "/admin/?team={team}&by=provider&period=today",
)


@pytest.fixture
def planner() -> Iterator[sqlite3.Connection]:
    """An empty database that believes to have a million calls."""
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        schema = [sql for (sql,) in cursor if "sqlite_" not in sql]
    made = sqlite3.connect(":memory:")
    for sql in schema:
        made.execute(sql)
    indexes = {name for (name,) in made.execute("SELECT name FROM sqlite_master")}
    assert set(STATISTICS) <= indexes, "what is said of others is not heeded"
    made.execute("ANALYZE")
    made.executemany(
        "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('governance_modelcall', ?, ?)",
        STATISTICS.items(),
    )
    made.execute("ANALYZE sqlite_schema")
    yield made
    made.close()


def _unbounded(planner: sqlite3.Connection, sql: str) -> list[str]:
    """The steps of a query that may read most of the ledger."""
    steps = [row[3] for row in planner.execute(f"EXPLAIN QUERY PLAN {sql}")]
    if PASSING.search(sql):
        steps = [step for step in steps if "INDEX call_by_status (status=?)" not in step]
    return [step for step in steps if "governance_modelcall" in step and not BOUNDED.search(step)]


@pytest.mark.parametrize("page", PAGES)
def test_the_overview_reads_no_whole_ledger(
    page: str, browser: Client, administrator: User, planner: sqlite3.Connection
) -> None:
    team = make_team()
    make_model(provider=make_provider(name="host"))
    for status in ("succeeded", "failed"):
        make_call(team, timezone.now(), provider="host", status=status)

    with CaptureQueriesContext(connection) as asked:
        assert browser.get(page.format(team=team.pk)).status_code == 200

    of_calls = [one["sql"] for one in asked if OF_CALLS.search(one["sql"])]
    assert len(of_calls) > 4
    assert [(sql, steps) for sql in of_calls if (steps := _unbounded(planner, sql))] == []


def test_a_count_by_status_and_team_would_read_a_teams_calls(planner: sqlite3.Connection) -> None:
    sql = "SELECT COUNT(*) FROM governance_modelcall WHERE status = 'blocked' AND team_id = 1"
    assert _unbounded(planner, sql)
    assert _unbounded(planner, "SELECT provider FROM governance_modelcall GROUP BY 1")
