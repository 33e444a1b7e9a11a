"""The scheduler's loop: it sleeps until the next due time, and outlives a failing database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import Error, InterfaceError, OperationalError, connection

from scheduling import loop
from scheduling.dispatcher import AHEAD
from scheduling.loop import SchedulerLoop
from scheduling.stopping import StopRequest

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


class FakeWatch:
    """Notes how long it is to wait, and asks to stop after so many waits."""

    longest_wait = 1.0

    def __init__(self, waits: int) -> None:
        self.waited: list[float] = []
        self._waits = waits
        self.closed = False

    def wait(self, seconds: float, stop: StopRequest) -> None:
        self.waited.append(seconds)
        if len(self.waited) == self._waits:
            stop.ask()

    def close(self) -> None:
        self.closed = True


class World:
    """Stands for the database as the loop sees it."""

    def __init__(self) -> None:
        self.due: datetime | None = None
        self.dispatches: Iterator[int | Error] = iter(())
        self.dispatched = 0

    def dispatch(self, now: datetime, *, ahead: timedelta) -> int:
        assert (now, ahead) == (NOON, AHEAD)
        self.dispatched += 1
        result = next(self.dispatches, 0)
        if isinstance(result, Error):
            raise result
        return result


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(loop, "database_now", lambda: NOON)
    monkeypatch.setattr(loop, "dispatch", world.dispatch)
    monkeypatch.setattr(loop, "next_due", lambda: world.due)
    monkeypatch.setattr(loop, "release", lambda now: 0)
    monkeypatch.setattr(loop, "blocking_runtime", lambda role: None)
    monkeypatch.setattr(connection, "close", lambda: None)
    return world


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], FakeWatch]:
    """Runs the loop for so many waits."""

    def run(waits: int) -> FakeWatch:
        watching = FakeWatch(waits)
        monkeypatch.setattr(loop, "watch", lambda channel, interval: watching)
        SchedulerLoop(StopRequest()).run()
        assert watching.closed
        return watching

    return run


Run = Callable[[int], FakeWatch]


@pytest.mark.parametrize(
    ("due_in", "longest"),
    [
        (None, 1.0),
        (0.25, 0.25 - AHEAD.total_seconds()),
        (90.0, 1.0),
        (0.05, loop.OTHERS_TURN),
        (-5.0, loop.OTHERS_TURN),
    ],
)
def test_it_sleeps_until_the_next_due_time_but_not_too_long(
    world: World, run: Run, due_in: float | None, longest: float
) -> None:
    world.due = None if due_in is None else NOON + timedelta(seconds=due_in)

    (waited,) = run(1).waited

    assert 0 <= waited <= longest
    assert due_in is not None or waited == longest


def test_it_does_not_sleep_while_there_is_something_to_do(world: World, run: Run) -> None:
    world.due, world.dispatches = NOON, iter([100, 100, 3])

    run(1)

    assert world.dispatched == 4


def test_a_failing_database_is_waited_out_and_said_once(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(StopRequest, "wait", lambda self, seconds, *descriptors: False)
    world.due = NOON
    world.dispatches = iter([OperationalError("locked"), InterfaceError("closed"), 0])

    with caplog.at_level(logging.WARNING, logger="scheduling.loop"):
        run(1)

    assert world.dispatched == 3
    assert [record.getMessage() for record in caplog.records] == [
        "The database failed, trying again: locked",
        "The database is back; scheduling goes on.",
    ]
