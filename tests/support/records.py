"""Palyra's tables, read past Palyra: straight from the database it was given.

What the tests claim of money is read here and not through the product's own code.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psycopg

# Rows that processes write about themselves, whatever is asked of them.
RESTLESS_TABLES = {
    "governance_processheartbeat",
    "providers_snapshotversion",
    "providers_providerprobe",
    "providers_providermetric",
}
ROOMS = ("providers_", "governance_", "scheduling_")


@dataclass(frozen=True, slots=True)
class Window:
    """A policy's counter; amounts in the policy's own unit, nano-dollars for cost."""

    policy: str
    metric: str
    limit: int
    consumed: int
    held: int
    raised_by: int


@dataclass(frozen=True, slots=True)
class Call:
    """A row of the ledger."""

    id: UUID
    status: str
    model: str
    job_id: UUID | None
    run_id: UUID | None
    uncached_input_tokens: int | None
    output_tokens: int | None
    usage_reported: bool
    cost: int | None
    estimate_lower: int | None
    estimate_expected: int | None
    estimate_upper: int | None
    holds: list[dict[str, Any]]
    error: str

    def hold(self, metric: str) -> int:
        """What was held for it on the windows that count `metric`."""
        return sum(hold["amount"] for hold in self.holds if hold["metric"] == metric)


@dataclass(frozen=True, slots=True)
class Run:
    """One firing of a job."""

    id: UUID
    slot: datetime
    trigger: str
    status: str
    reason: str
    call_id: UUID | None
    output: str
    input_tokens: int | None
    output_tokens: int | None
    cost: int | None


class Records:
    """Reads a Palyra's database, on a connection for each thread."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._sqlite = database_url.startswith("sqlite")
        self._threads = threading.local()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query with `?` for its parameters, all as of one instant."""
        connection = self._connection()
        if self._sqlite:
            return list(connection.execute(query, [_for_sqlite(value) for value in parameters]))
        return list(connection.execute(query.replace("?", "%s"), tuple(parameters)))

    def _connection(self) -> Any:
        if not hasattr(self._threads, "connection"):
            self._threads.connection = self._connect()
        return self._threads.connection

    def _connect(self) -> Any:
        if not self._sqlite:
            return psycopg.connect(self._url, autocommit=True)
        file = Path(unquote(urlsplit(self._url).path[1:])).as_uri()
        return sqlite3.connect(f"{file}?mode=ro", uri=True, isolation_level=None, timeout=20)

    def close(self) -> None:
        """Close the calling thread's connection."""
        if hasattr(self._threads, "connection"):
            self._threads.connection.close()
            del self._threads.connection

    def window(self, policy: str) -> Window:
        """The only window of a policy; nothing consumed or held before its first call."""
        (row,) = self.rows(
            "SELECT p.name, p.metric, p.hard_limit, COALESCE(w.consumed, 0), COALESCE(w.held, 0),"
            " COALESCE(w.raised_by, 0) FROM governance_budgetpolicy p"
            " LEFT JOIN governance_budgetwindow w ON p.id = w.policy_id WHERE p.name = ?",
            [policy],
        )
        return Window(*row)

    def windows(self) -> list[Window]:
        """What every budget has for each of its values, as of one instant; the buckets of a
        rolling one together, so that this holds while none of them has left."""
        rows = self.rows(
            "SELECT p.name, p.metric, p.hard_limit, SUM(w.consumed), SUM(w.held),"
            " SUM(w.raised_by) FROM governance_budgetpolicy p"
            " JOIN governance_budgetwindow w ON p.id = w.policy_id"
            " GROUP BY p.id, p.name, p.metric, p.hard_limit, w.scope_value,"
            " CASE WHEN p.rolling THEN NULL ELSE w.starts_at END"
        )
        return [Window(name, *rest[:2], *map(int, rest[2:])) for name, *rest in rows]

    def leases(self) -> tuple[int, int]:
        """How many counters of places at providers there are, and the places taken."""
        ((counters, in_use),) = self.rows(
            "SELECT COUNT(*), COALESCE(SUM(in_use), 0) FROM governance_providerlease"
        )
        return int(counters), int(in_use)

    def held(self) -> int:
        """What is held in all windows together."""
        ((held,),) = self.rows("SELECT COALESCE(SUM(held), 0) FROM governance_budgetwindow")
        return int(held)

    def calls(self, *, model: str | None = None) -> list[Call]:
        """The ledger in the order of admission, whole or of one model."""
        rows = self.rows(
            "SELECT id, status, model, job_id, run_id, uncached_input_tokens, output_tokens,"
            " usage_reported, cost, estimate_lower, estimate_expected, estimate_upper, holds,"
            " error FROM governance_modelcall WHERE model = ? OR ? = '' ORDER BY admitted_at, id",
            [model or "", model or ""],
        )
        return [_call(row) for row in rows]

    def runs(self, job: UUID) -> list[Run]:
        """A job's runs in the order of their scheduled times."""
        rows = self.rows(
            "SELECT id, slot, trigger, status, reason, call_id, output, input_tokens,"
            " output_tokens, cost FROM scheduling_cronrun WHERE job_id = ? ORDER BY slot, id",
            [job],
        )
        return [_run(row) for row in rows]

    def process_ids(self, role: str) -> set[int]:
        """The process numbers that beat in a role."""
        query = "SELECT pid FROM governance_processheartbeat WHERE role = ?"
        return {pid for (pid,) in self.rows(query, [role])}

    def counts(self) -> dict[str, int]:
        """How many rows each of Palyra's tables has."""
        counts = {}
        for table in self._tables():
            ((counts[table],),) = self.rows(f"SELECT COUNT(*) FROM {table}")
        return counts

    def _tables(self) -> list[str]:
        query = (
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if self._sqlite
            else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        names = sorted(name for (name,) in self.rows(query))
        return [name for name in names if name.startswith(ROOMS) and name not in RESTLESS_TABLES]


def _call(row: tuple[Any, ...]) -> Call:
    number, status, model, job, run, entered, left, reported, cost, *estimates, holds, error = row
    lower, expected, upper = estimates
    return Call(
        id=as_uuid(number),
        status=status,
        model=model,
        job_id=_uuid_or_none(job),
        run_id=_uuid_or_none(run),
        uncached_input_tokens=entered,
        output_tokens=left,
        usage_reported=bool(reported),
        cost=cost,
        estimate_lower=lower,
        estimate_expected=expected,
        estimate_upper=upper,
        holds=json.loads(holds) if isinstance(holds, str) else holds,
        error=error,
    )


def _run(row: tuple[Any, ...]) -> Run:
    number, slot, trigger, status, reason, call, output, entered, left, cost = row
    return Run(
        id=as_uuid(number),
        slot=as_instant(slot),
        trigger=trigger,
        status=status,
        reason=reason,
        call_id=_uuid_or_none(call),
        output=output,
        input_tokens=entered,
        output_tokens=left,
        cost=cost,
    )


def _for_sqlite(value: Any) -> Any:
    return value.hex if isinstance(value, UUID) else value


def as_uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _uuid_or_none(value: Any) -> UUID | None:
    return None if value is None else as_uuid(value)


def as_instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value).replace(tzinfo=UTC)
