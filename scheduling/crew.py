"""A worker process's runs under way: as many calls at once as it has room for.

A task of django-q2 only takes runs and returns; their calls go on in the runtime's event loop, so a
slow model keeps no worker waiting. A thread writes the ends, and takes more runs for the room they
leave; another breaks off the calls of runs that are cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from django.db import Error, connection
from django.utils import timezone

from governance import kept_calls
from governance.errors import in_one_line
from governance.runtime import BlockingRuntime, Runtime, blocking_runtime
from scheduling import calling, cancelling, claiming, kept_runs
from scheduling.calling import Prepared
from scheduling.endings import Ended, finish
from scheduling.models import CronRun, RunStatus, RunTrigger
from scheduling.patience import patiently
from scheduling.stopping import StopRequest
from scheduling.wakeups import RUNS_CANCELLED, watch

logger = logging.getLogger(__name__)
# Neither kind takes the other's room: a crowd of scheduled runs keeps nobody who waits from theirs.
FOREGROUND_ROOM = 20
BACKGROUND_ROOM = 100
LOOK_EVERY = 0.05
LONGEST_LOOK = 0.5
PAUSE_SECONDS = 5.0


@dataclass(slots=True)
class _UnderWay:
    """A run, the task that makes its call once that has begun, and whether it is broken off."""

    run: CronRun
    task: asyncio.Task[Any] | None = None
    broken_off: bool = False


@dataclass(frozen=True, slots=True)
class _Slow:
    """A run that takes longer than its job expects."""

    run: CronRun


@dataclass(frozen=True, slots=True)
class _Unsure:
    """Runs may have been claimed that this process does not know of: it is to look again."""


@dataclass(slots=True)
class _Board:
    """The runs under way in this process, for its threads."""

    runs: dict[UUID, _UnderWay] = field(default_factory=dict)
    # The tokens of runs that have ended and cannot be written: nobody begins them again.
    given_up: set[UUID] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def room(self) -> tuple[int, int]:
        """How many more runs may begin: of those that people started, and of the others."""
        with self.changed:
            by_people = sum(_by_person(one.run) for one in self.runs.values())
            others = len(self.runs) - by_people
        return max(0, FOREGROUND_ROOM - by_people), max(0, BACKGROUND_ROOM - others)

    def known(self) -> set[UUID]:
        with self.changed:
            return set(self.runs)

    def add(self, runs: list[CronRun]) -> None:
        with self.changed:
            self.runs |= {run.pk: _UnderWay(run) for run in runs}
            self.changed.notify_all()

    def remove(self, runs: list[CronRun]) -> None:
        with self.changed:
            for run in runs:
                self.runs.pop(run.pk, None)
            self.changed.notify_all()

    def wait_until_empty(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.runs)

    def wait_for_any(self, stopping: StopRequest) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.runs or stopping.is_set())


def _by_person(run: CronRun) -> bool:
    return run.trigger == RunTrigger.MANUAL


class Crew:
    """`take` as often as there may be runs to make; `stop` waits for those under way."""

    def __init__(self, runtime: BlockingRuntime) -> None:
        self._runtime = runtime
        self._board = _Board()
        self._ends: SimpleQueue[Ended | _Slow | _Unsure | None] = SimpleQueue()
        self._taking = threading.Lock()
        self._closed = self._unsure = False
        # Asked once all runs have ended: until then the threads are needed.
        self._stopping = StopRequest()
        self._kept_calls = ThreadPoolExecutor(FOREGROUND_ROOM, thread_name_prefix="kept calls")
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._write, "ends of runs"), (self._heed, "cancelled runs"))
        ]
        for thread in self._threads:
            thread.start()

    def take(self, most: int = BACKGROUND_ROOM) -> int:
        """Begin runs that are due, at most so many and as many as there is room for; how many."""
        with self._taking:
            if self._closed:
                return 0
            foreground, background = self._board.room()
            if not foreground + background:
                return 0
            runs = self._claimed(min(most, foreground), min(most, background))
            self._board.add(runs)
        for run in runs:
            self._begin(run)
        return len(runs)

    def _claimed(self, foreground: int, background: int) -> list[CronRun]:
        owner = self._runtime.process_id

        def claim() -> list[CronRun]:
            # A claim may have been committed although its answer was lost.
            found = self._left_lying() if self._unsure else []
            self._unsure = True
            now = timezone.now()
            found += claiming.claim(owner, foreground=foreground, background=background, now=now)
            self._unsure = False
            return found

        try:
            return patiently(claim)
        except Error:
            # Nobody else can have what may be this process's by now.
            self._ends.put(_Unsure())
            raise

    def _left_lying(self) -> list[CronRun]:
        left = claiming.left_lying(self._runtime.process_id, self._board.known())
        return [run for run in left if run.token not in self._board.given_up]

    def _begin(self, run: CronRun) -> None:
        try:
            registry = self._runtime.runtime.snapshot.registry
            now = max(timezone.now(), run.started_at or timezone.now())
            prepared = calling.prepare(run, now=now, registry=registry)
        except Exception:
            logger.exception("Run %s could not be prepared", run.pk)
            prepared = Prepared(run, None, f"Palyra failed; its log names run {run.pk}.")
        self._runtime.begin(partial(self._make, prepared))

    async def _make(self, prepared: Prepared, runtime: Runtime) -> None:
        run, slow = prepared.run, None
        self._board.runs[run.pk].task = asyncio.current_task()
        if run.job.expected_seconds:
            loop = asyncio.get_running_loop()
            slow = loop.call_later(run.job.expected_seconds, self._ends.put, _Slow(run))
        attempt = await calling.make(prepared, runtime)
        if slow is not None:
            slow.cancel()
        self._ends.put(Ended(run, attempt))

    def make_kept(self, call_id: UUID) -> None:
        """Make a call that was kept until it was approved, beside all others."""
        self._kept_calls.submit(self._make_kept, call_id)

    def _make_kept(self, call_id: UUID) -> None:
        try:
            kept_calls.make(call_id, self._runtime)
            kept_runs.conclude(timezone.now(), call_ids=[call_id])
        except Exception:
            # The sweep of kept calls tells a worker again.
            logger.exception("The kept call %s could not be made", call_id)
        finally:
            connection.close()

    def _write(self) -> None:
        """Write ends until told that there are no more."""
        last = False
        while not last:
            found = [self._ends.get()]
            try:
                while True:
                    found.append(self._ends.get_nowait())
            except Empty:
                last = None in found
            self._mark_slow([one.run.pk for one in found if isinstance(one, _Slow)])
            self._finish([one for one in found if isinstance(one, Ended)])
            if any(isinstance(one, _Unsure) for one in found):
                self._stopping.wait(PAUSE_SECONDS)
                self._take_more(BACKGROUND_ROOM)
        connection.close()

    def _mark_slow(self, run_ids: list[UUID]) -> None:
        if not run_ids:
            return
        try:
            runs = CronRun.objects.filter(pk__in=run_ids, status=RunStatus.RUNNING)
            runs.update(slow=True)
        except Error as error:
            # It is said once more when the run ends.
            logger.warning("A slow run could not be marked: %s", in_one_line(error))
            connection.close()

    def _finish(self, ends: list[Ended]) -> None:
        if not ends:
            return
        try:
            patiently(lambda: finish([_charged(end) for end in ends], timezone.now()))
        except Error:
            logger.exception("%d runs ended and could not be written; trying again", len(ends))
            connection.close()
            self._stopping.wait(PAUSE_SECONDS)
            for end in ends:
                self._ends.put(end)
            return
        except Exception:
            logger.exception("%d runs ended and could not be written together", len(ends))
            for end in ends:
                self._finish_alone(end)
        self._board.remove([end.run for end in ends])
        self._take_more(len(ends))

    def _finish_alone(self, end: Ended) -> None:
        try:
            finish([_charged(end)], timezone.now())
        except Exception:
            # Recovery closes it in the end; begun again before that, it could be paid for twice.
            self._board.given_up.add(end.run.token)
            logger.exception("Run %s ended and could not be written", end.run.pk)
            connection.close()

    def _take_more(self, most: int) -> None:
        try:
            self.take(most)
        except Error as error:
            logger.warning("No more runs can be taken now: %s", in_one_line(error))
            connection.close()
        except Exception:
            # The thread that writes the ends must go on.
            logger.exception("No more runs can be taken now")

    def _heed(self) -> None:
        """Break off the calls of runs that are cancelled, until stopped."""
        changes = watch(RUNS_CANCELLED, interval=LOOK_EVERY)
        while not self._stopping.is_set():
            self._board.wait_for_any(self._stopping)
            try:
                self._break_off(cancelling.asked_of(self._runtime.process_id))
            except Error as error:
                logger.warning("Cancelled runs cannot be looked for: %s", in_one_line(error))
                connection.close()
            changes.wait(LONGEST_LOOK, self._stopping)
        changes.close()
        connection.close()

    def _break_off(self, run_ids: set[UUID]) -> None:
        # One whose task has not begun yet is found again at the next look.
        with self._board.changed:
            runs = [one for pk, one in self._board.runs.items() if pk in run_ids]
        for one in runs:
            # Once: what it does of its own accord after that must not be broken off as well.
            if one.task is not None and not one.broken_off:
                one.broken_off = True
                one.task.get_loop().call_soon_threadsafe(one.task.cancel)

    def stop(self) -> None:
        """Take no more runs, and wait until those under way have ended and are written."""
        with self._taking:
            self._closed = True
        self._board.wait_until_empty()
        self._kept_calls.shutdown(wait=True)
        self._stopping.ask()
        self._ends.put(None)
        with self._board.changed:
            self._board.changed.notify_all()
        for thread in self._threads:
            thread.join()


def _charged(end: Ended) -> Ended:
    """With what the ledger says of a call that gave no answer."""
    attempt = end.attempt
    if "output" in attempt.columns or attempt.status == RunStatus.WAITING_FOR_APPROVAL:
        return end
    columns = {**attempt.columns, **calling.charged(end.run.call_id)}
    return Ended(end.run, replace(attempt, columns=columns))


_lock = threading.Lock()
_of_process: tuple[int, Crew] | None = None


def crew() -> Crew:
    """This process's crew, made on first use. A forked child makes one of its own."""
    global _of_process  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _of_process is None or _of_process[0] != os.getpid():
            _of_process = (os.getpid(), Crew(blocking_runtime(role="worker")))
        return _of_process[1]


def stop_crew() -> None:
    """Stop this process's crew, if it made one."""
    global _of_process  # noqa: PLW0603
    with _lock:
        if _of_process is not None and _of_process[0] == os.getpid():
            _of_process[1].stop()
        _of_process = None
