"""What benchmarks of a large ledger share: the options, and each database filled before it is
measured."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.databases import DATABASES, in_a_process, is_inside

ROWS = 1_000_000


def measure_each(
    module: str, description: str, measure: Callable[[int], None], *, note: str = ""
) -> None:
    """Have `measure` called with the number of calls, once for each database, in a process of its
    own; `module` is what it is run by, and `note` goes behind each heading."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--database", choices=DATABASES, action="append")
    options = parser.parse_args()
    if is_inside():
        measure(options.rows)
        return
    for kind in options.database or DATABASES:
        say(f"\n{kind}, {options.rows:,} calls{note}")
        in_a_process(module, "--rows", str(options.rows), database=kind)


def filled(
    rows: int, *, beside: Callable[[], Any] | None = None, vacuum: bool = False, **days: Any
) -> float:
    """Migrate the database, enter `rows` calls and whatever `beside` makes, and let the database
    look at its tables, with `vacuum` as autovacuum would; the seconds that filling took. `days` are
    what `fill_ledger` takes besides."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from tests.support.ledger_rows import fill_ledger

    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    fill_ledger(rows, **days)
    if beside is not None:
        beside()
    took = time.perf_counter() - began
    with connection.cursor() as cursor:
        is_cleaned = vacuum and connection.vendor == "postgresql"
        cursor.execute("VACUUM ANALYZE" if is_cleaned else "ANALYZE")
    return took


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
