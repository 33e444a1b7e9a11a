"""One child process: a session of its own, its lines under its name, the end of its whole group."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

NAME_WIDTH = 9
LOOK_SECONDS = 0.02
LOOKS = 250
PR_SET_CHILD_SUBREAPER = 36
_printing = threading.Lock()


def adopt_orphans() -> None:
    """Have what a dead child leaves behind handed to this process, where the system can do that.

    So its orphans stay known, dead or alive, until `Child.end_group` has collected them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def say(name: str, line: str, stream: TextIO | None = None) -> None:
    """Print one line of `name`, whole, whichever thread it comes from."""
    target = stream or sys.stdout
    with _printing, contextlib.suppress(BrokenPipeError, ValueError):
        target.write(f"{name:<{NAME_WIDTH}} | {line}\n")
        target.flush()


class Child:
    """A running child. It leads a session of its own, so that no terminal signal reaches it."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._pass_lines_on, name=f"{name} output", daemon=True).start()

    @property
    def pid(self) -> int:
        """Also the number of its process group."""
        return self._process.pid

    def _pass_lines_on(self) -> None:
        # Ends when the last process of the group has closed its end, not only the leader.
        assert self._process.stdout is not None
        for line in self._process.stdout:
            say(self.name, line.rstrip("\r\n"))

    async def ended(self) -> int:
        """Its exit status, awaited; the negative signal number if a signal ended it."""
        return await asyncio.to_thread(self._process.wait)

    def ask_to_end(self) -> None:
        """SIGTERM to the leader, who ends its own in order: the group would lose work in hand."""
        self._process.send_signal(signal.SIGTERM)

    def kill_group(self) -> None:
        """SIGKILL to everyone in the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def end_group(self) -> tuple[int, ...]:
        """After the leader's end: kill who is left, and the numbers of all that are gone."""
        members = _members(self.pid)
        self.kill_group()
        for _ in range(LOOKS):
            self._collect()
            if not any(map(_running, members)):
                break
            await asyncio.sleep(LOOK_SECONDS)
        return (self.pid, *(pid for pid in members if not _running(pid)))

    def _collect(self) -> None:
        # The leader's orphans are ours now (see `adopt_orphans`), so we must collect them.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass


def _members(group: int) -> tuple[int, ...]:
    """The processes of a group, its leader aside, where the system shows them in /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = _fields(status)
        if fields and int(fields[2]) == group and int(status.parent.name) != group:
            found.append(int(status.parent.name))
    return tuple(found)


def _running(pid: int) -> bool:
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return bool(fields) and fields[0] not in {"Z", "X"}


def _fields(status: Path) -> list[str]:
    """What follows the name in a process's status: state, parent, group and more."""
    try:
        return status.read_text().rpartition(")")[2].split()
    except OSError:
        return []
