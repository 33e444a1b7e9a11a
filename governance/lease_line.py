"""Who waits in this process for a place at a provider: one at a time asks, the others stand behind.
Those in the background have a line of their own, which the ledger serves after the other.

A place that a call of this process gives up is noticed at once, one that another process gives up a
moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOOK_SECONDS = 0.04
# Each look is a question to the ledger, and those in the background are in no hurry.
BACKGROUND_LOOK_SECONDS = 0.2
# A provider, and whether it is the line of those in the background.
_Line = tuple[int, bool]


class Turn:
    """One caller's place in a line. `came` is False if its time was up before its turn."""

    def __init__(
        self, freed: asyncio.Event, until: float, *, came: bool, look_seconds: float
    ) -> None:
        self.came = came
        self._freed = freed
        self._look_seconds = look_seconds
        self._until = until

    @property
    def time_left(self) -> float:
        """Seconds it may still wait."""
        return self._until - asyncio.get_running_loop().time()

    async def room(self) -> None:
        """Return when there may be room, or its time is up."""
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(self._look_seconds, self.time_left))):
                await self._freed.wait()


class LeaseLine:
    """The lines before all providers, on one event loop."""

    def __init__(self) -> None:
        # asyncio's locks are given in the order they were asked for.
        self._turns: defaultdict[_Line, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._freed: defaultdict[_Line, asyncio.Event] = defaultdict(asyncio.Event)
        self._waiting: Counter[int] = Counter()

    def waiting(self, provider_id: int) -> int:
        """How many calls of this process stand in that provider's line."""
        return self._waiting[provider_id]

    @asynccontextmanager
    async def turn(
        self, provider_id: int, *, until: float, background: bool = False
    ) -> AsyncIterator[Turn]:
        """Wait until all who came before have their place or have gone, or until the loop's clock
        says `until`."""
        line, freed = self._turns[provider_id, background], self._freed[provider_id, background]
        self._waiting[provider_id] += 1
        try:
            came = await _acquired(line, until)
            try:
                look = BACKGROUND_LOOK_SECONDS if background else LOOK_SECONDS
                yield Turn(freed, until, came=came, look_seconds=look)
            finally:
                if came:
                    line.release()
        finally:
            self._waiting[provider_id] -= 1

    def notice(self, provider_id: int) -> None:
        """A call of this process left the provider."""
        for background in (False, True):
            if (provider_id, background) in self._freed:
                self._freed[provider_id, background].set()


async def _acquired(line: asyncio.Lock, until: float) -> bool:
    try:
        async with asyncio.timeout_at(until):
            await line.acquire()
    except TimeoutError:
        return False
    return True
