"""What a scheduler process looks after besides dispatching, on a thread of its own.

For now these are the probes of providers' health. Every process looks every few seconds whether any
is due; the claims of `providers.health` make each happen once. Whatever goes wrong here,
dispatching does not notice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import Error, connection

from governance.errors import in_one_line
from providers import health
from providers.registry import ProviderEntry
from providers.transport import Transport
from scheduling.dispatcher import database_now

logger = logging.getLogger(__name__)
INTERVAL = 5.0
LONGEST_BACKOFF = 60.0
# A thread that hangs in the database for longer is left behind: the process ends without it.
PATIENCE = 1.0
Found = list[tuple[ProviderEntry, health.ConnectionTest]]


class Maintenance:
    """Begins with `start` and ends with `stop`, which returns within a second."""

    def __init__(
        self,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], datetime] = database_now,
        transport: Callable[[], Transport] = Transport,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._make_transport = transport
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._under_way: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is broken off, and is somebody's again in a minute."""
        self._stop.set()
        with self._lock:
            if self._under_way is not None:
                loop, task = self._under_way
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        # The loop runs only while providers are asked: between, the database may be used.
        with asyncio.Runner() as runner:
            transport = runner.run(self._open())
            try:
                while not self._stop.wait(self._round(runner, transport)):
                    pass
            finally:
                connection.close()
                runner.run(transport.close())

    async def _open(self) -> Transport:
        return self._make_transport()

    def _round(self, runner: asyncio.Runner, transport: Transport) -> float:
        """One look; the seconds until the next."""
        try:
            self._probe(runner, transport)
        except Error as error:
            self._failures += 1
            if self._failures == 1:
                logger.warning("Probes wait for the database: %s", in_one_line(error))
            connection.close()
            return min(LONGEST_BACKOFF, self._interval * float(2 ** (self._failures - 1)))
        except Exception:
            # Nothing that a provider does may end the probes of the others.
            logger.exception("A probe of the providers failed; trying again.")
            return self._interval
        if self._failures:
            logger.warning("The database is back; probes go on.")
            self._failures = 0
        return self._interval

    def _probe(self, runner: asyncio.Runner, transport: Transport) -> None:
        due = health.claim_due(self._clock())
        if not due:
            return
        try:
            found = runner.run(self._look_at(due, transport))
        except asyncio.CancelledError:
            return
        now = self._clock()
        for provider, result in found:
            health.record(provider, result, now)

    async def _look_at(self, due: list[ProviderEntry], transport: Transport) -> Found:
        """What was found; cancelled by `stop`."""
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._stop.is_set():
                return []
            self._under_way = (asyncio.get_running_loop(), task)
        try:
            return await health.look_at(due, transport)
        finally:
            with self._lock:
                self._under_way = None
