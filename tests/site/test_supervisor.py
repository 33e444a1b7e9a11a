"""The supervisor over stub children: real processes, without Django."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import ChildProcess, alive, descendants, eventually

pytestmark = [pytest.mark.processes, pytest.mark.any_database]
Start = Callable[..., ChildProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[ChildProcess] = []

    def begin(*roles: str, grace: float = 15) -> ChildProcess:
        command = [sys.executable, "-m", "tests.site.stub_children", str(grace), *roles]
        supervisor = ChildProcess("supervisor", command)
        started.append(supervisor)
        return supervisor

    yield begin
    for supervisor in started:
        supervisor.stop()


def gone(*pids: int) -> None:
    eventually(
        lambda: [pid for pid in pids if alive(pid)], lambda left: not left, what="all have ended"
    )


def pid_of(supervisor: ChildProcess, behaviour: str) -> int:
    """The process that behaves so below the supervisor."""
    (found,) = eventually(
        lambda: _children(supervisor, behaviour), lambda pids: len(pids) == 1, what=behaviour
    )
    return found


def _children(supervisor: ChildProcess, behaviour: str) -> list[int]:
    return [pid for pid in descendants(supervisor.pid) if behaviour in _words(pid)]


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_child_and_then_itself(start: Start, number: signal.Signals) -> None:
    supervisor = start("web=steady", "worker=steady")
    supervisor.wait_for_line(r"^web       \| ready")
    supervisor.wait_for_line(r"^worker    \| ready")
    below = descendants(supervisor.pid)
    supervisor.send(number)
    assert supervisor.wait() == 0
    assert supervisor.lines[-1].endswith("| all over")
    gone(*below)


def test_a_killed_child_is_started_again_and_its_death_recorded(start: Start) -> None:
    supervisor = start("web=steady", "worker=stubborn", grace=0.2)
    supervisor.wait_for_line("web .* ready")
    first = pid_of(supervisor, "steady")
    seen = len(supervisor.lines)
    os.kill(first, signal.SIGKILL)
    supervisor.wait_for_line(rf"gone: \[{first}\]", after=seen)
    supervisor.wait_for_line(r"web was killed by SIGKILL .* again at once", after=seen)
    supervisor.wait_for_line("web .* ready", after=seen)
    assert pid_of(supervisor, "steady") != first


def test_a_child_that_keeps_dying_is_given_more_and_more_time(start: Start) -> None:
    supervisor = start("web=brief", "worker=steady")
    supervisor.wait_for_line("web ended with status 3 .* again at once")
    supervisor.wait_for_line("web ended with status 3 .* again in 1 s")
    supervisor.wait_for_line("web ended with status 3 .* again in 2 s")
    assert not any("worker ended" in line for line in supervisor.lines)
    supervisor.send(signal.SIGINT)
    assert supervisor.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_what_a_dead_child_leaves_behind_dead_or_alive_is_recorded_too(
    start: Start, number: signal.Signals
) -> None:
    supervisor = start("worker=parent")
    own = int(supervisor.wait_for_line(r"own child (\d+)")[1])
    supervisor.wait_for_line("ready")
    leader = pid_of(supervisor, "parent")
    os.kill(leader, number)
    recorded = supervisor.wait_for_line(r"gone: \[(.*)\]")[1]
    assert sorted(map(int, re.findall(r"\d+", recorded))) == sorted([leader, own])
    gone(own)


def test_a_child_that_does_not_end_is_killed_with_its_group(start: Start) -> None:
    supervisor = start("web=stubborn", "worker=parent", grace=0.3)
    supervisor.wait_for_line("web .* ready")
    own = int(supervisor.wait_for_line(r"own child (\d+)")[1])
    stubborn = pid_of(supervisor, "stubborn")
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert "web did not end within 0 s and is killed" in supervisor.output
    gone(stubborn, own)


def test_a_second_signal_does_not_wait(start: Start) -> None:
    supervisor = start("web=stubborn", grace=600)
    supervisor.wait_for_line("web .* ready")
    supervisor.send(signal.SIGINT)
    supervisor.wait_for_line("stopping")
    supervisor.send(signal.SIGINT)
    assert supervisor.wait() == 0


def test_the_children_of_a_killed_supervisor_end(start: Start) -> None:
    supervisor = start("web=steady", "worker=parent")
    supervisor.wait_for_line("web .* ready")
    supervisor.wait_for_line("worker .* ready")
    below = descendants(supervisor.pid)
    assert len(below) >= 4
    supervisor.send(signal.SIGKILL)
    assert supervisor.wait() == -signal.SIGKILL
    gone(*below)


def test_a_death_that_cannot_be_recorded_stops_nothing(start: Start) -> None:
    supervisor = start("faulty=brief", "web=steady")
    supervisor.wait_for_line("could not be recorded: the book is lost")
    supervisor.wait_for_line("faulty ended with status 3 .* again in 1 s")
    supervisor.send(signal.SIGINT)
    assert supervisor.wait() == 0
