"""A worker process that has done its tasks is replaced while its runs go on."""

from __future__ import annotations

from multiprocessing import Value
from typing import Any

import pytest

from scheduling.cluster import RECYCLES, WatchedSentinel


class Process:
    """A worker's process that lives, with the timer that django-q2 gives it."""

    exitcode = None

    def __init__(self, seconds: float) -> None:
        self.timer: Any = Value("f", seconds)

    def is_alive(self) -> bool:
        return True


@pytest.fixture
def sentinel(monkeypatch: pytest.MonkeyPatch) -> Any:
    sentinel: Any = WatchedSentinel.__new__(WatchedSentinel)
    sentinel.pool, sentinel._leaving, sentinel.reincarnations = [], [], 0
    monkeypatch.setattr(sentinel, "spawn_worker", lambda: sentinel.pool.append(Process(-1)))
    return sentinel


def test_one_that_takes_no_more_tasks_is_replaced_at_once(sentinel: Any) -> None:
    done, idle = Process(RECYCLES), Process(-1)
    sentinel.pool = [done, idle]

    for process in list(sentinel.pool):
        sentinel._tend(process)

    assert done not in sentinel.pool
    assert len(sentinel.pool) == 2
    # It is still one of those whose death would be noticed, and that are waited for at the end.
    assert sentinel._leaving == [done]
