"""A supervisor over stubs: `python -m tests.site.stub_children GRACE ROLE=BEHAVIOUR …`.

Behaviours: `steady` ends when asked, `stubborn` does not, `brief` ends at once with status 3,
`parent` has a child of its own in its group that does not end when asked, and on SIGUSR1 kills
its whole group.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from palyra_site.children import say
from palyra_site.supervisor import Supervisor

STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('stubborn', flush=True); signal.pause()"
)


def main(arguments: list[str]) -> None:
    """Supervise the roles named, or be one of them."""
    if arguments[0] == "--as":
        behave(arguments[1])
        return
    grace, *roles = arguments
    commands = {
        role: [sys.executable, str(Path(__file__)), "--as", behaviour]
        for role, _, behaviour in (word.partition("=") for word in roles)
    }

    def record(pids: Collection[int]) -> None:
        if "faulty" in commands:
            raise RuntimeError("the book is lost")
        say("record", f"gone: {sorted(pids)}")

    asyncio.run(Supervisor(commands, on_death=record, grace=float(grace)).run())
    say("record", "all over")


def behave(behaviour: str) -> None:
    """Be a child of that behaviour."""
    if behaviour == "brief":
        sys.exit(3)
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if behaviour == "parent":
        own = subprocess.Popen([sys.executable, "-c", STUBBORN])
        signal.signal(signal.SIGUSR1, lambda *_: os.killpg(0, signal.SIGKILL))
        sys.stdout.write(f"own child {own.pid}\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
