"""Keeps child processes running until it is told to stop, and then stops them all.

What is decided is in `restarts`; what a child is, in `children`; `guard` looks after the case that
this very process is killed. Nothing here knows Django.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from palyra_site import guard
from palyra_site.children import Child, adopt_orphans, say
from palyra_site.restarts import Life, on_end

GRACE_SECONDS = 15.0
NAME = "palyra"


class Supervisor:
    """Runs one child per role of `commands`.

    `on_death` is called, in a thread, with the process numbers of a child that is gone and of what
    was left of its group. `descriptors` stay open until the last child of a killed supervisor ends.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environments: Mapping[str, Mapping[str, str]] | None = None,
        on_death: Callable[[Collection[int]], None] = lambda _: None,
        descriptors: Sequence[int] = (),
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._commands = commands
        self._environments = environments or {}
        self._on_death = on_death
        self._descriptors = descriptors
        self._grace = grace
        self._running: dict[str, Child] = {}
        self._stopping = asyncio.Event()

    async def run(self, started: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Start everything, and return when SIGINT or SIGTERM has stopped everything.

        `started` is awaited beside the children: it may watch for them to be ready, and say so.
        """
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        self._guard = self._start_guard()
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = [tasks.create_task(self._keep(role)) for role in self._commands]
                watching = tasks.create_task(started()) if started else None
                await self._stopping.wait()
                if watching:
                    watching.cancel()
                await self._end(keepers)
        finally:
            self._kill_all()
            self._end_guard()

    def stop(self) -> None:
        """Ask every child to end; asked a second time, end them at once."""
        if self._stopping.is_set():
            self._kill_all()
            return
        say(NAME, "stopping")
        self._stopping.set()
        for child in self._running.values():
            child.ask_to_end()

    async def _keep(self, role: str) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            life = Life(role=role, started_at=time.monotonic(), short_lives=short_lives)
            status = await self._live(role)
            restart = on_end(
                life, status=status, now=time.monotonic(), stopping=self._stopping.is_set()
            )
            if restart is None:
                return
            say(NAME, restart.line)
            short_lives = restart.short_lives
            await self._pause(restart.delay)

    async def _live(self, role: str) -> int:
        """One life of a child, from its start to the end of its whole group."""
        child = Child(role, self._commands[role], self._environments.get(role))
        self._tell_guard(f"+{child.pid}")
        self._running[role] = child
        status = await child.ended()
        del self._running[role]
        gone = await child.end_group()
        self._tell_guard(f"-{child.pid}")
        await self._tell_of_death(gone)
        return status

    async def _tell_of_death(self, gone: Collection[int]) -> None:
        try:
            await asyncio.to_thread(self._on_death, gone)
        except Exception as error:
            # Whatever it is, the other children must be kept.
            say(NAME, f"the end of process {min(gone)} could not be recorded: {error}")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _end(self, keepers: Collection[asyncio.Task[None]]) -> None:
        """Give the children their time, then kill those that are left."""
        await asyncio.wait(keepers, timeout=self._grace)
        for role in self._running:
            say(NAME, f"{role} did not end within {self._grace:.0f} s and is killed")
        self._kill_all()

    def _kill_all(self) -> None:
        for child in self._running.values():
            child.kill_group()

    def _start_guard(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", str(Path(guard.__file__))],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=self._descriptors,
        )

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(f"{line}\n")
            self._guard.stdin.flush()

    def _end_guard(self) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        self._guard.wait()
