"""django-q2's queue in the database, delivered within milliseconds and robust against errors."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import Error, connection, transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from governance.errors import in_one_line
from scheduling.patience import patiently
from scheduling.stopping import StopRequest
from scheduling.wakeups import MESSAGES_SENT, Watch, announce, watch

logger = logging.getLogger(__name__)
LOOK_EVERY = 0.01
LONGEST_WAIT = 0.5
LONGEST_BACKOFF = 2.0


class DatabaseBroker(ORM):  # type: ignore[misc]
    """Wakes on a change where the original asks anew every so often, and survives what stops it.

    At its first database error the original delivers nothing for ten seconds.
    """

    _watch: Watch | None = None
    _backoff = 0.0

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key=list_key)
        self._never = StopRequest()

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """The queue's rows. The connection is kept; errors are dealt with where they happen."""
        return OrmQ.objects.using(Conf.ORM)

    def enqueue(self, task: str) -> Any:
        """Put a message in the queue, in the caller's transaction, and wake the workers."""
        message = super().enqueue(task)
        announce(MESSAGES_SENT)
        return message

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Take the oldest message that waits, or wait a while for one."""
        try:
            taken = self._take()
            self._backoff = 0.0
        except Error as error:
            self._back_off(error)
            return None
        if taken is None:
            self._wait(LONGEST_WAIT)
            return None
        return [taken]

    def _take(self) -> tuple[int, str] | None:
        now = timezone.now()
        waiting = self.get_connection().filter(key=self.list_key, lock__lt=now).order_by("id")
        if connection.vendor == "postgresql":
            with transaction.atomic():
                return self._claim(waiting.select_for_update(skip_locked=True), now)
        return self._claim(waiting, now)

    def _claim(self, waiting: Any, now: datetime) -> tuple[int, str] | None:
        message = waiting.first()
        if message is None:
            return None
        own = self.get_connection().filter(id=message.id, lock=message.lock)
        if not own.update(lock=now + timedelta(seconds=Conf.RETRY)):
            return None
        return message.id, message.payload

    def delete(self, task_id: int) -> None:
        """Remove a message, patiently: the one who acknowledges has nobody to report to."""
        patiently(partial(super().delete, task_id))

    def _wait(self, seconds: float) -> None:
        # Made where it is used: a connection must not cross a fork.
        if self._watch is None:
            self._watch = watch(MESSAGES_SENT, interval=LOOK_EVERY)
        self._watch.wait(seconds, self._never)

    def _back_off(self, error: Error) -> None:
        if self._backoff == 0:
            logger.warning("The queue cannot be read, trying again: %s", in_one_line(error))
        connection.close()
        self._backoff = min(LONGEST_BACKOFF, 0.1 + 2 * self._backoff)
        time.sleep(self._backoff)
