"""When requests are made and decided, and two of them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import connection

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DOLLAR = 10**9


def at_once(work: Callable[[int], str], times: int) -> list[str]:
    """What `work` returned in as many threads, each with a connection of its own."""
    start = threading.Barrier(times)
    said: list[str] = []

    def run(number: int) -> None:
        start.wait()
        try:
            said.append(work(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said
