"""The thread that writes prompts and answers: after the calls, beside them, and never in their way.

What cannot be written is dropped and said in the log: these are for people to look back at, and a
call is worth more than the memory of it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from governance.errors import in_one_line
from governance.models import CallText
from governance.texts.reading import Text, stored

logger = logging.getLogger(__name__)
# Characters that wait to be written; what comes beyond is dropped.
MOST_WAITING = 32 * 1024 * 1024
MOST_IN_BATCH = 200
# Between two commits, so that on SQLite the ledger's own are not kept waiting.
PAUSE_SECONDS = 0.2
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one call asked and was answered, if it was."""

    call_id: UUID
    team_id: int
    admitted_at: datetime
    asked: Text
    answered: Text | None

    @property
    def size(self) -> int:
        """Its characters."""
        return self.asked.size + (self.answered.size if self.answered else 0)


class TextKeeper:
    """The process's way to keep texts. `start` before use; `stop` writes what waits."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="texts", daemon=True)
        self._lock = threading.Lock()
        self._waiting = self._dropped = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def put(self, exchange: Exchange) -> None:
        """Have `exchange` written soon. Does not wait, and does not fail."""
        with self._lock:
            if self._waiting + exchange.size > MOST_WAITING:
                self._dropped += 1
                return
            self._waiting += exchange.size
        self._queue.put(exchange)

    def _run(self) -> None:
        while batch := self._gather():
            self._write(batch)
            with self._lock:
                self._waiting -= sum(one.size for one in batch)
                dropped, self._dropped = self._dropped, 0
            if dropped:
                logger.warning("%d prompts and answers were not kept: too many wait.", dropped)
            if self._queue.empty():
                # The pool of a web process has other uses for it.
                connection.close()
            self._stopping.wait(PAUSE_SECONDS)
        connection.close()

    def _gather(self) -> list[Exchange]:
        """What waits; nothing once it is to end and all is written."""
        batch: list[Exchange] = []
        try:
            one = self._queue.get(block=not self._stopping.is_set())
            while len(batch) < MOST_IN_BATCH:
                if one is not None:
                    batch.append(one)
                one = self._queue.get_nowait()
            self._queue.put(one)
        except queue.Empty:
            pass
        return batch

    def _write(self, batch: Sequence[Exchange]) -> None:
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                _insert(batch)
            except (OperationalError, InterfaceError) as error:
                connection.close()
                if not tries_left:
                    _say_lost(batch, error)
                else:
                    time.sleep(PAUSE_SECONDS)
            except Exception as error:
                # One bad row must not cost its neighbours, and the thread must not end.
                self._one_by_one(batch, error)
                return
            else:
                return

    def _one_by_one(self, batch: Sequence[Exchange], error: Exception) -> None:
        if len(batch) == 1:
            _say_lost(batch, error)
            return
        for one in batch:
            self._write([one])


def _insert(batch: Sequence[Exchange]) -> None:
    rows = [
        CallText(
            pk=one.call_id,
            team_id=one.team_id,
            admitted_at=one.admitted_at,
            asked=stored(one.asked),
            answered=None if one.answered is None else stored(one.answered),
        )
        for one in batch
    ]
    with transaction.atomic():
        CallText.objects.bulk_create(rows, ignore_conflicts=True)


def _say_lost(batch: Sequence[Exchange], error: Exception) -> None:
    # What went wrong, and never the values, which an error of the database may name.
    why = in_one_line(error) if not isinstance(error, DatabaseError) else type(error).__name__
    logger.warning("%d prompts and answers could not be kept: %s", len(batch), why)
