"""What a scheduler process looks after besides dispatching, on a thread of its own.

These are the probes of providers' health, the evaluation of alerts, the delivery of what they say,
and calls kept for approval that a crash left lying. Every process looks now and then whether any is
due; claims, and keys that are open once, make each happen once. Whatever goes wrong in one,
dispatching and the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import Error, connection

from governance import kept_calls
from governance.alerts import deliveries
from governance.alerts.evaluation import evaluate
from governance.errors import in_one_line
from providers import health
from providers.transport import Transport
from scheduling.dispatcher import database_now

logger = logging.getLogger(__name__)
INTERVAL = 5.0
EVALUATION_INTERVAL = 15.0
KEPT_CALLS_INTERVAL = 5.0
DELIVERY_INTERVAL = 1.0
LONGEST_BACKOFF = 60.0
# A thread that hangs in the database for longer is left behind: the process ends without it.
PATIENCE = 1.0
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class _Step:
    """Something done every `interval` seconds; `failures` in a row make it rarer."""

    name: str
    interval: float
    do: Callable[[], None]
    due_at: float = 0.0
    failures: int = 0

    def take(self) -> None:
        """Do it, and say when it is due again; it never raises."""
        wait = self.interval
        try:
            self.do()
        except Error as error:
            self.failures += 1
            if self.failures == 1:
                reason = in_one_line(error)
                logger.warning("%s wait for the database: %s", self.name, reason)
            connection.close()
            wait = min(LONGEST_BACKOFF, wait * float(2 ** min(self.failures - 1, 10)))
        except Exception:
            # Nothing that a provider or a receiver does may end it for the others.
            logger.exception("%s failed; trying again.", self.name)
        else:
            if self.failures:
                logger.warning("The database is back; %s go on.", self.name.lower())
                self.failures = 0
        self.due_at = time.monotonic() + wait


class Maintenance:
    """Begins with `start` and ends with `stop`, which returns within a second."""

    def __init__(
        self,
        *,
        interval: float = INTERVAL,
        evaluation_interval: float = EVALUATION_INTERVAL,
        delivery_interval: float = DELIVERY_INTERVAL,
        clock: Callable[[], datetime] = database_now,
        transport: Callable[[], Transport] = Transport,
    ) -> None:
        self._intervals = interval, evaluation_interval, delivery_interval
        self._clock = clock
        self._make_transport = transport
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._under_way: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is broken off, and is somebody's again in a minute or two."""
        self._stop.set()
        with self._lock:
            if self._under_way is not None:
                loop, task = self._under_way
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        # The loop runs only while others are asked: between, the database may be used.
        with asyncio.Runner() as runner:
            transport = runner.run(self._open())
            steps = self._steps(runner, transport)
            try:
                while not self._stop.wait(self._round(steps)):
                    pass
            finally:
                connection.close()
                runner.run(transport.close())

    async def _open(self) -> Transport:
        return self._make_transport()

    def _steps(self, runner: asyncio.Runner, transport: Transport) -> tuple[_Step, ...]:
        probing, evaluating, delivering = self._intervals
        now = time.monotonic()
        return (
            _Step("Probes", probing, lambda: self._probe(runner, transport)),
            _Step("Alerts", evaluating, self._evaluate, now + evaluating),
            _Step(
                "Deliveries",
                delivering,
                lambda: self._deliver(runner, transport),
                now + delivering,
            ),
            _Step("Kept calls", KEPT_CALLS_INTERVAL, self._sweep, now + KEPT_CALLS_INTERVAL),
        )

    def _round(self, steps: tuple[_Step, ...]) -> float:
        """Whatever is due; the seconds until anything is again."""
        for step in steps:
            if step.due_at <= time.monotonic() and not self._stop.is_set():
                step.take()
        return max(0.0, min(step.due_at for step in steps) - time.monotonic())

    def _probe(self, runner: asyncio.Runner, transport: Transport) -> None:
        due = health.claim_due(self._clock())
        found = self._ask(runner, health.look_at(due, transport)) if due else None
        if found:
            now = self._clock()
            for provider, result in found:
                health.record(provider, result, now)

    def _evaluate(self) -> None:
        evaluate(self._clock())

    def _sweep(self) -> None:
        kept_calls.sweep(self._clock())

    def _deliver(self, runner: asyncio.Runner, transport: Transport) -> None:
        now = self._clock()
        claimed = deliveries.claim_due(now)
        sent = self._ask(runner, deliveries.send_all(claimed, transport, now)) if claimed else None
        if sent:
            deliveries.record(sent, self._clock())

    def _ask(self, runner: asyncio.Runner, errand: Awaitable[ResultT]) -> ResultT | None:
        """What others answered; None if `stop` broke it off."""
        try:
            return runner.run(self._stoppable(errand))
        except asyncio.CancelledError:
            return None

    async def _stoppable(self, errand: Awaitable[ResultT]) -> ResultT:
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            self._under_way = (asyncio.get_running_loop(), task)
            if self._stop.is_set():
                task.cancel()
        try:
            return await errand
        finally:
            with self._lock:
                self._under_way = None
