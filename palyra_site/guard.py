"""Ends what a supervisor started, should the supervisor itself be killed.

It runs as a process of its own, by path and without site packages, so that it starts quickly and
depends on nothing. It reads `+<group>` and `-<group>` lines from its standard input; when that
ends, which the kernel sees to whatever becomes of the supervisor, the groups still named are ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

GRACE_SECONDS = 15.0
LOOK_SECONDS = 0.1


def groups_left(lines: Iterable[str]) -> set[int]:
    """The process groups that were started and not yet seen to end."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    return groups


def end_groups(groups: set[int], grace: float = GRACE_SECONDS) -> None:
    """Ask the leader of each group to end, and after `grace` seconds kill who is left."""
    for group in groups:
        _signal(os.kill, group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(_signal(os.kill, group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    for group in groups:
        _signal(os.killpg, group, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], target: int, number: int) -> bool:
    """Send a signal, or nothing with number 0; False if there is nobody to receive it."""
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Wait for the supervisor's end; nothing else ends the wait."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(groups_left(sys.stdin))


if __name__ == "__main__":
    main()
