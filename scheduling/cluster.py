"""The worker's processes: django-q2's, watched so that none of them hangs the others.

django-q2's processes share locks. One that is killed may hold a lock for ever, and the rest would
wait for it, alive and useless; so the death of one by a signal ends them all, and whoever started
the worker starts it again. The other way round, none outlives the main process.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from queue import Full
from typing import Any, NoReturn

from django import db
from django_q.brokers import Broker
from django_q.cluster import Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.status import Stat
from django_q.worker import worker

from governance.errors import in_one_line
from governance.runtime import stop_blocking_runtime
from scheduling.crew import crew, stop_crew
from scheduling.stopping import StopRequest

logger = logging.getLogger(__name__)
EXIT_BROKEN = 1
LOOK_SECONDS = 0.05
LOCK_PATIENCE = 1.0
# What django-q2 puts in a worker's timer when it has done as many tasks as it is to do.
RECYCLES = -2


class WatchedSentinel(Sentinel):  # type: ignore[misc]
    """Runs the processes from the main one, until asked to stop: `run` returns when all is done.

    A first request lets the work in hand be finished; a second one ends everything at once.
    """

    monitor: Any
    pusher: Any

    def __init__(self, stop: StopRequest, broker: Broker) -> None:
        super().__init__(stop, threading.Event(), uuid.uuid4(), broker=broker, start=False)
        # What `Sentinel` made of the signals is undone: they ask this process to stop.
        stop.listen()
        self._lifeline = os.pipe()
        # Workers that take no more tasks, and wait for the runs they have under way.
        self._leaving: list[Any] = []

    def run(self) -> None:
        """Start the processes and keep them. Raises what the broker raises if it is not there."""
        self.start()

    def spawn_process(self, target: Callable[..., None], *args: Any) -> Any:
        """Fork a process that ends when this one does."""
        process = get_mp_context().Process(
            target=_in_child, args=(self._lifeline, target, *args), name=f"Process-{uuid.uuid4()}"
        )
        process.daemon = True
        if target is worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return process

    def guard(self) -> None:
        """Look after the processes until asked to stop."""
        self.start_event.set()
        while not self.stop_event.is_set():
            self._end_if_broken()
            for process in list(self.pool):
                self._tend(process)
            self._leaving = [process for process in self._leaving if process.is_alive()]
            for process in (self.monitor, self.pusher):
                if not process.is_alive():
                    self.reincarnate(process)
            Stat(self).save()
            self.stop_event.wait(Conf.GUARD_CYCLE)
        self.stop()

    def _tend(self, process: Any) -> None:
        """Count a worker's time down, and replace it when it has ended or its time is up."""
        lock = process.timer.get_lock()
        # Not for ever: the worker may have been killed with the lock in its hands.
        if process.is_alive() and lock.acquire(timeout=LOCK_PATIENCE):
            try:
                seconds = process.timer.value
                if seconds > 0:
                    process.timer.value = max(0, seconds - Conf.GUARD_CYCLE)
            finally:
                lock.release()
            if seconds == RECYCLES:
                # Its runs may take long yet, and the next worker is not to wait for that.
                self._leaving.append(process)
                self._replace_worker(process)
            if seconds == 0:
                logger.error("A task took longer than %s s; its process is ended.", Conf.TIMEOUT)
                process.kill()
                process.join()
                self._replace_worker(process)
        elif not process.is_alive():
            self.reincarnate(process)

    def reincarnate(self, process: Any) -> None:
        """Replace a process that ended by itself; one that was killed ends the whole."""
        self._end_if_broken()
        db.connections.close_all()
        if process is self.monitor:
            self.monitor = self.spawn_monitor()
        elif process is self.pusher:
            self.pusher = self.spawn_pusher()
        else:
            self._replace_worker(process)

    def _replace_worker(self, process: Any) -> None:
        self.pool.remove(process)
        self.spawn_worker()
        self.reincarnations += 1

    def stop(self) -> None:
        """Let what is in hand be finished, in the order of its way: pusher, workers, monitor."""
        self.event_out.set()
        self._wait_until(lambda: not self.pusher.is_alive())
        for _ in self.pool:
            self._wait_until(self._offer_the_end)
        workers = [*self.pool, *self._leaving]
        self._wait_until(lambda: not any(process.is_alive() for process in workers))
        self.result_queue.put("STOP")
        self._wait_until(lambda: not self.monitor.is_alive())
        for queue in (self.task_queue, self.result_queue):
            queue.close()
            queue.cancel_join_thread()

    def _offer_the_end(self) -> bool:
        try:
            self.task_queue.put("STOP", block=False)
        except Full:
            return not any(process.is_alive() for process in self.pool)
        return True

    def _wait_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._end_if_broken()
            time.sleep(LOOK_SECONDS)

    def _end_if_broken(self) -> None:
        if self.stop_event.times_asked > 1:
            self._end_everything("Asked a second time to stop: work in hand is broken off.")
        for process in self._processes():
            code = process.exitcode
            if code is not None and code < 0:
                number = signal.Signals(-code).name
                self._end_everything(f"Process {process.pid} was killed by {number}; all end.")

    def _processes(self) -> list[Any]:
        auxiliary = [process for process in (self.monitor, self.pusher) if process]
        return [*self.pool, *self._leaving, *auxiliary]

    def _end_everything(self, line: str) -> NoReturn:
        logger.error("%s", line)
        for process in self._processes():
            process.kill()
        logging.shutdown()
        # Not `sys.exit`, which would wait for the queues' threads.
        os._exit(EXIT_BROKEN)


def _in_child(lifeline: tuple[int, int], target: Callable[..., None], *args: Any) -> None:
    """A child's whole life: the signals are its parent's business, and so is when to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    readable, writable = lifeline
    os.close(writable)
    threading.Thread(target=_end_with_parent, args=(readable,), daemon=True).start()
    if target is worker:
        _warm_up()
    try:
        target(*args)
    finally:
        # Waits for the runs under way, then writes the settlements that are still pending.
        stop_crew()
        stop_blocking_runtime()


def _end_with_parent(readable: int) -> None:
    os.read(readable, 1)  # Returns when the parent's end is closed, however the parent ended.
    os.kill(os.getpid(), signal.SIGKILL)


def _warm_up() -> None:
    """Start what calls need, so that the first run does not wait for it, and take what is due: the
    message that said so may have gone to a worker that has ended."""
    try:
        crew().take()
    except Exception as error:
        # The first task tries again, and says what is wrong where it can be seen.
        logger.warning("The worker is not ready for calls yet: %s", in_one_line(error))
