"""Child processes whose lines can be awaited, so that no test needs to sleep."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# Generous, because a loaded machine is slow; reached only when something is broken.
PATIENCE = 90.0
STOP_PATIENCE = 30.0
ValueT = TypeVar("ValueT")


class ChildProcess:
    """A process of our own; its lines are kept, and shown by pytest when the test fails."""

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `command` in the repository, at the head of a session of its own."""
        self.name = name
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=dict(os.environ if environment is None else environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name} output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; the negative signal number if a signal ended it."""
        return self._process.poll()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            sys.stdout.write(f"[{self.name}] {line}")
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(
        self, pattern: str, *, after: int = 0, patience: float = PATIENCE
    ) -> re.Match[str]:
        """The first line from number `after` on in which `pattern` is found, awaited.

        Raises `AssertionError` with the output if the process ends or `patience` seconds pass.
        """
        wanted = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next(filter(None, map(wanted.search, self.lines[after:])), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout=patience)
            match = found()
            why = "it ended" if self._ended else f"{patience:.0f} s passed"
        assert match, f"{self.name} printed no line like {pattern!r} before {why}:\n{self.output}"
        return match

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its group."""
        if self.exit_status is None:
            self._process.send_signal(number)

    def wait(self, *, patience: float = STOP_PATIENCE) -> int:
        """The exit status, awaited. Raises `AssertionError` with the output if it goes on."""
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {patience:.0f} s:\n{self.output}"
            ) from None
        self._reader.join(timeout=1)
        return status

    def write_line(self, line: str) -> None:
        """Give it one line of input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def close_input(self) -> None:
        """End its standard input, which is how the upstream is told to go."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stop(self, *, patience: float = STOP_PATIENCE) -> int:
        """End it as an operator's Ctrl-C would; what is left after `patience` seconds is killed."""
        families = [self.pid, *descendants(self.pid)]
        self.send(signal.SIGTERM)
        try:
            return self.wait(patience=patience)
        finally:
            self.close_input()
            kill_all([*families, *descendants(self.pid)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs, as the kernel knows them now."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_all(pids: Sequence[int]) -> None:
    """SIGKILL each; one that is gone already is what is wanted."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def free_port() -> int:
    """A loopback port that nothing listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(
    read: Callable[[], ValueT],
    holds: Callable[[ValueT], bool],
    *,
    what: str,
    patience: float = PATIENCE,
    pause: float = 0.02,
) -> ValueT:
    """Read another process's state until it holds: there is no event to await across a database.

    `pause` seconds lie between two readings. Raises `AssertionError` naming `what` and the last
    value read after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"{what}: still not so, last read {value!r}"
        time.sleep(pause)
