"""Reports and an export of a ledger of a million calls, on SQLite and on PostgreSQL.

    .venv/bin/python -m benchmarks.usage [--rows 1000000] [--database sqlite]

Each database is filled anew in a directory that is gone afterwards. Printed are the best and the
middle of several times, the queries made, and what the export took at most in memory.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.ledger import filled, measure_each, say

TIMES = 7


def main() -> None:
    """Measure each database in a process of its own."""
    measure_each("benchmarks.usage", "Measure reports of a large ledger.", _measure)


def _measure(rows: int) -> None:
    took = filled(rows)
    from governance.ledger.rebuilding import rebuild

    say(f"  {'filling':36}{took:9.1f} s")
    for name, report in _reports().items():
        _repeat(name, report)
    _timed("rebuild --check", lambda: rebuild(mend=False))
    for name, lines in _exports().items():
        _export(name, lines, rows)


def _reports() -> dict[str, Callable[[], Any]]:
    from governance import usage
    from governance.models import Team
    from governance.usage.latency import latencies
    from tests.support.ledger_rows import BEGIN, DAYS

    cut = timedelta(minutes=17)
    since, until = BEGIN, BEGIN + timedelta(days=DAYS)
    whole: dict[str, Any] = {"since": since, "until": until}
    part: dict[str, Any] = {"since": since + cut, "until": until - cut}
    prague = ZoneInfo("Europe/Prague")
    team = Team.objects.order_by("pk").first()
    return {
        "summary": lambda: usage.summary(**whole),
        "summary, hours cut": lambda: usage.summary(**part),
        "summary of a team, hours cut": lambda: usage.summary(**part, team=team),
        "breakdown by team": lambda: usage.breakdown(by="team", **whole),
        "breakdown by model": lambda: usage.breakdown(by="model", **whole),
        "breakdown by model, hours cut": lambda: usage.breakdown(by="model", **part),
        "breakdown by key, hours cut": lambda: usage.breakdown(by="key", **part),
        "breakdown by person, hours cut": lambda: usage.breakdown(by="person", **part),
        "series by day": lambda: usage.series(step="day", zone=ZoneInfo("UTC"), **whole),
        "series by day of Prague": lambda: usage.series(step="day", zone=prague, **whole),
        "series by day of Prague and model": lambda: usage.series(
            step="day", zone=prague, by="model", **whole
        ),
        "savings by team": lambda: usage.savings(**whole),
        "latency by model": lambda: latencies(by="model", **whole),
        "latency by model, one day": lambda: latencies(
            by="model", since=since, until=since + timedelta(days=1)
        ),
    }


def _exports() -> dict[str, Callable[[], Iterator[bytes]]]:
    from governance.usage.export import csv_lines, json_lines
    from tests.support.ledger_rows import BEGIN, DAYS

    period: dict[str, Any] = {"since": BEGIN, "until": BEGIN + timedelta(days=DAYS), "where": {}}
    return {
        "export as CSV": lambda: csv_lines(**period),
        "export as JSON Lines": lambda: json_lines(**period),
    }


def _repeat(name: str, report: Callable[[], Any]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        report()
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        report()
        times.append((time.perf_counter() - began) * 1000)
    middle = statistics.median(times)
    say(f"  {name:36}{min(times):9.1f}{middle:9.1f} ms  {len(queries)} queries")


def _timed(name: str, work: Callable[[], Any]) -> None:
    began = time.perf_counter()
    work()
    say(f"  {name:36}{time.perf_counter() - began:9.1f} s")


def _export(name: str, lines: Callable[[], Iterator[bytes]], rows: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    written = sum(len(chunk) for chunk in lines())
    took = time.perf_counter() - began
    grew = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    say(
        f"  {name:36}{took:9.1f} s  {rows / took:,.0f} calls a second, "
        f"{written / 2**20:,.0f} MiB written, {max(0, grew) / 2**10:,.1f} MiB more memory"
    )


if __name__ == "__main__":
    main()
