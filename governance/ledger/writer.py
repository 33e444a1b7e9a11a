"""The ledger's thread: one connection, one commit for whatever is pending (group commit).

While one batch is being committed the next gathers by itself, so a hundred concurrent calls share
a few commits, and a hot budget's row is locked once a batch and not once a call. The same thread
beats the process's heart and sweeps what dead processes left, so that nothing else needs to run.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.utils import timezone

from governance import processes
from governance.errors import LedgerUnavailable, in_one_line
from governance.ledger import sweeper
from governance.ledger.operations import (
    AdmissionRequest,
    Dismissal,
    Operation,
    Rehold,
    Result,
    Settlement,
    Unmade,
    never_sent,
)
from governance.ledger.published import Published
from governance.ledger.store import LedgerStore

logger = logging.getLogger(__name__)
MOST_IN_BATCH = 256
TRIES = 3
PAUSE_SECONDS = 0.2
UNAVAILABLE = "The ledger cannot be written now, so nothing was sent. Try again shortly."


@dataclass(frozen=True, slots=True)
class _Pending:
    operation: Operation
    future: Future[Any]


class LedgerWriter:
    """The process's way into the ledger. `start` before use; `stop` writes what is pending."""

    def __init__(self, *, process_id: UUID, role: str) -> None:
        self.process_id = process_id
        self._role = role
        self._started_at = timezone.now()
        self._store = LedgerStore(process_id)
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._next_beat = 0.0
        self._last_beat = self._steady_since = 0.0
        self._silence_counts = False
        self._stopping = False

    def start(self) -> None:
        """Say that this process is alive, then begin to write."""
        processes.beat(self.process_id, self._role, self._started_at)
        self._thread.start()

    def stop(self) -> None:
        """Write everything pending, strike the process from those alive, and end the thread."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def published(self) -> Published:
        """What the last commits saw of budgets and places."""
        return self._store.published

    @property
    def silence_counts(self) -> bool:
        """Whether this process has beaten so steadily that others' silence means their death."""
        return self._silence_counts

    def submit(self, operation: Operation) -> Future[Any]:
        """Queue `operation`; the future has its result once it is committed."""
        future: Future[Any] = Future()
        self._queue.put(_Pending(operation, future))
        return future

    def _run(self) -> None:
        while not self._stopping:
            self._commit(self._gather())
            self._tend()
        # The last commits may have set off more: releasing a call cancelled while it was held.
        while not self._queue.empty():
            self._commit(self._gather())
        with contextlib.suppress(DatabaseError, InterfaceError):
            processes.end(self.process_id)
        connection.close()

    def _gather(self) -> list[_Pending]:
        """What is pending, waiting for the first of it until the next beat."""
        batch: list[_Pending] = []
        try:
            pending = self._queue.get(timeout=max(0.0, self._next_beat - time.monotonic()))
            while True:
                if pending is None:
                    self._stopping = True
                # One whose caller went away before its turn is never begun.
                elif pending.future.running() or pending.future.set_running_or_notify_cancel():
                    batch.append(pending)
                if len(batch) == MOST_IN_BATCH:
                    return batch
                pending = self._queue.get_nowait()
        except queue.Empty:
            return batch

    def _commit(self, batch: Sequence[_Pending]) -> None:
        if not batch:
            return
        try:
            results = self._execute([pending.operation for pending in batch])
        except Exception as error:
            self._after_failure(batch, error)
            return
        for pending, result in zip(batch, results, strict=True):
            pending.future.set_result(result)

    def _execute(self, operations: Sequence[Operation]) -> list[Result]:
        """The batch, tried again where the database may be back in a moment."""
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                return self._store.execute(operations)
            except (OperationalError, InterfaceError):
                connection.close()
                if not tries_left:
                    raise
                time.sleep(PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _after_failure(self, batch: Sequence[_Pending], error: Exception) -> None:
        """One bad operation must not fail its neighbours: each is tried alone."""
        if len(batch) > 1 and not isinstance(error, OperationalError | InterfaceError):
            for pending in batch:
                self._commit([pending])
            return
        away, why = isinstance(error, OperationalError | InterfaceError), in_one_line(error)
        for pending in batch:
            logger.error("The ledger cannot write %s: %s", _name(pending.operation), why)
            if away and isinstance(pending.operation, Settlement | Unmade) and not self._stopping:
                # The hold stands until it is settled; the work is not lost but comes later.
                self._queue.put(pending)
            else:
                self._give_up(pending)

    def _give_up(self, pending: _Pending) -> None:
        """Tell the caller that nothing will be sent, and make that true.

        The commit may have landed although its answer was lost: then there is a hold to release.
        """
        if isinstance(pending.operation, AdmissionRequest) and not self._stopping:
            self.submit(
                never_sent(pending.operation.call_id, timezone.now(), owner=self.process_id)
            )
        pending.future.set_exception(LedgerUnavailable(UNAVAILABLE))

    def _tend(self) -> None:
        """Beat and sweep when it is time to."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + processes.BEAT_SECONDS
        try:
            processes.beat(self.process_id, self._role, self._started_at)
            self._silence_counts = self._heard_steadily()
            left = sweeper.orphans(silence_counts=self._silence_counts)
            if left:
                self._store.execute(left)
                logger.warning("Settled %d abandoned calls as unconfirmed.", len(left))
        except Exception as error:
            # Whatever it was, this thread must not end: every hold goes through it.
            connection.close()
            logger.warning("This process's heartbeat cannot be written: %s", in_one_line(error))

    def _heard_steadily(self) -> bool:
        """Whether this process has beaten without a gap for so long that others' silence means
        death. After a gap, in which the database was away or the machine asleep, it does not."""
        # The clock on the wall: the monotonic one stands still while a machine sleeps.
        now = time.time()
        # A beat comes a little later than it should, which is no gap.
        longest = max(settings.PALYRA_OWNER_TIMEOUT / 2, 1.5 * processes.BEAT_SECONDS)
        if not 0 <= now - self._last_beat <= longest:
            self._steady_since = now
        self._last_beat = now
        return now - self._steady_since > settings.PALYRA_OWNER_TIMEOUT


NAMES = {
    AdmissionRequest: "the admission",
    Rehold: "a further hold",
    Settlement: "the settlement",
    Unmade: "the record",
    Dismissal: "the dismissal",
}


def _name(operation: Operation) -> str:
    return f"{NAMES[type(operation)]} of call {operation.call_id}"
