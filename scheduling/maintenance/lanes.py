"""The threads of a scheduler process that do the jobs of upkeep.

There are several, so that what takes minutes, or as long as receivers of messages like, keeps
nothing waiting that is due every second. Each looks once a second, with one query, whether any of
its jobs is due. Whatever goes wrong in one job, the others and dispatching do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error, connection

from governance.errors import in_one_line
from providers.identifiers import new_id
from providers.transport import Transport
from scheduling.dispatcher import database_now
from scheduling.maintenance import booking
from scheduling.maintenance.booking import Outcome
from scheduling.maintenance.catalogue import CATALOGUE, Lane, Upkeep
from scheduling.maintenance.turn import BrokenOff, NotWell, Turn
from scheduling.models import MaintenanceJob

logger = logging.getLogger(__name__)
LOOK_EVERY = 1.0
LONGEST_BACKOFF = 60.0
# Threads that hang in the database for longer are left behind: the process ends without them.
PATIENCE = 1.0


class Maintenance:
    """Begins with `start` and ends with `stop`, which returns within about a second.

    `silence_counts` is asked whether a process that was not heard of is dead.
    """

    def __init__(
        self,
        *,
        look_every: float = LOOK_EVERY,
        clock: Callable[[], datetime] = database_now,
        transport: Callable[[], Transport] = Transport,
        silence_counts: Callable[[], bool] = lambda: False,
    ) -> None:
        owner = new_id()
        self._threads = [
            _LaneThread(
                lane,
                owner,
                look_every=look_every,
                clock=clock,
                transport=transport,
                silence_counts=silence_counts,
            )
            for lane in Lane
        ]

    def start(self) -> None:
        """Begin, on threads of their own."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is under way is broken off, and is another's at once or when its lease ends."""
        for thread in self._threads:
            thread.ask_to_stop()
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


class _LaneThread(threading.Thread):
    """Does the jobs of one lane, one after the other."""

    def __init__(
        self,
        lane: Lane,
        owner: UUID,
        *,
        look_every: float,
        clock: Callable[[], datetime],
        transport: Callable[[], Transport],
        silence_counts: Callable[[], bool],
    ) -> None:
        super().__init__(name=f"maintenance-{lane}", daemon=True)
        self._jobs: Mapping[str, Upkeep] = {one.name: one for one in CATALOGUE if one.lane is lane}
        self._owner = owner
        self._look_every = look_every
        self._clock = clock
        self._make_transport = transport
        self._silence_counts = silence_counts
        self._stop_asked = threading.Event()
        self._lock = threading.Lock()
        self._under_way: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._has_rows = False
        # What each job keeps from one turn to the next.
        self._kept: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        # When jobs with nothing to do are looked at again, by the steady clock.
        self._look_again: dict[str, float] = {}
        self._failures = 0

    def ask_to_stop(self) -> None:
        """Have it end soon, whatever host it waits for."""
        self._stop_asked.set()
        with self._lock:
            if self._under_way is not None:
                loop, task = self._under_way
                loop.call_soon_threadsafe(task.cancel)

    def run(self) -> None:
        # The loop never runs while the database is used: it runs while others are asked, and while
        # there is nothing to do, so that what an errand began goes on.
        with asyncio.Runner() as runner:
            transport = runner.run(self._open())
            try:
                while not self._stop_asked.is_set():
                    self._rest(runner, self._look(runner, transport))
                with suppress(Exception):
                    self._look_after_kept()
            finally:
                connection.close()
                runner.run(transport.close())

    def _rest(self, runner: asyncio.Runner, seconds: float) -> None:
        with suppress(BrokenOff):
            self._ask(runner, asyncio.sleep(seconds), 2 * LONGEST_BACKOFF)

    async def _open(self) -> Transport:
        return self._make_transport()

    def _look(self, runner: asyncio.Runner, transport: Transport) -> float:
        """Do what is due; the seconds until the next look. It never raises."""
        try:
            self._do_due(runner, transport)
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                known = isinstance(error, Error)
                logger.warning(
                    "Maintenance waits for the database: %s",
                    in_one_line(error),
                    exc_info=None if known else error,
                )
            connection.close()
            return min(LONGEST_BACKOFF, self._look_every * 2.0 ** min(self._failures, 10))
        if self._failures:
            logger.warning("The database is back; maintenance goes on.")
            self._failures = 0
        return self._look_every

    def _do_due(self, runner: asyncio.Runner, transport: Transport) -> None:
        now = self._clock()
        if not self._has_rows:
            booking.make_rows(now)
            self._has_rows = True
        self._look_after_kept()
        for row in booking.due(self._jobs, now):
            job = self._jobs[row.name]
            if self._stop_asked.is_set():
                return
            if not self._can_wait(job, row, now) and booking.claim(
                row.name, self._owner, self._clock(), job.lease
            ):
                self._do(job, runner, transport)

    def _look_after_kept(self) -> None:
        """See to what is kept, for others may have the jobs for long."""
        for name, kept in self._kept.items():
            look_after = self._jobs[name].look_after
            if kept and look_after is not None:
                look_after(kept, self._clock)

    def _can_wait(self, job: Upkeep, row: MaintenanceJob, now: datetime) -> bool:
        """Whether there is nothing to do, and it was shown lately that somebody looks."""
        if job.is_idle is None or row.last_started_at is None or row.failures_in_a_row:
            return False
        if self._kept[job.name] or booking.is_asked_for(row):
            return False
        # Also where the clock was set back.
        if not timedelta(0) <= now - row.last_started_at < booking.SHOWN_EVERY:
            return False
        if time.monotonic() < self._look_again.get(job.name, 0.0):
            return True
        # A row so often due is not written to, so it says no longer when that is.
        self._look_again[job.name] = time.monotonic() + (row.every_seconds or 0)
        return job.is_idle(now)

    def _do(self, job: Upkeep, runner: asyncio.Runner, transport: Transport) -> None:
        try:
            outcome = self._outcome(job, runner, transport)
        except BrokenOff:
            booking.release(job.name, self._owner)
        else:
            booking.finish(job.name, self._owner, outcome, self._clock())

    def _outcome(self, job: Upkeep, runner: asyncio.Runner, transport: Transport) -> Outcome:
        until = time.monotonic() + job.longest.total_seconds()

        def goes_on() -> bool:
            return not self._stop_asked.is_set() and time.monotonic() < until

        def ask(errand: Callable[[Transport], Awaitable[Any]]) -> Any:
            return self._ask(runner, errand(transport), until - time.monotonic())

        try:
            now, silence_counts = self._clock(), self._silence_counts()
            kept = self._kept[job.name]
            turn = Turn(now, silence_counts, self._clock, goes_on, ask, kept)
            return Outcome(ok=True, words=job.do(turn))
        except BrokenOff:
            raise
        except NotWell as found:
            return Outcome(ok=False, words=str(found))
        except Error as error:
            logger.warning("%s: the database failed: %s", job.title, in_one_line(error))
            connection.close()
            return Outcome(ok=False, words="The database failed; it is tried again.")
        except Exception as error:
            # Nothing that a provider or a receiver does may end it for the others.
            logger.exception("%s failed; trying again.", job.title)
            what = "took too long" if isinstance(error, TimeoutError) else type(error).__name__
            return Outcome(ok=False, words=f"It failed ({what}) and is tried again; see the log.")

    def _ask(self, runner: asyncio.Runner, errand: Awaitable[Any], seconds: float) -> Any:
        """What others answered. Raises `BrokenOff` if the process is to end meanwhile."""
        try:
            return runner.run(self._stoppable(errand, seconds))
        except asyncio.CancelledError:
            raise BrokenOff from None

    async def _stoppable(self, errand: Awaitable[Any], seconds: float) -> Any:
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            self._under_way = (asyncio.get_running_loop(), task)
            if self._stop_asked.is_set():
                task.cancel()
        try:
            async with asyncio.timeout(seconds):
                return await errand
        finally:
            with self._lock:
                self._under_way = None
