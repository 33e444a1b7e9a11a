"""What a scheduler process does, over and over: dispatch, and sleep until something is due."""

from __future__ import annotations

import logging
import time

from django.db import Error, connection

from governance.errors import in_one_line
from governance.runtime import blocking_runtime, stop_blocking_runtime
from scheduling.dispatcher import AHEAD, database_now, dispatch, release
from scheduling.due import next_due
from scheduling.stopping import StopRequest
from scheduling.wakeups import JOBS_CHANGED, Watch, watch

logger = logging.getLogger(__name__)
# For a prompt that has just been made and is due at once; the others are begun ahead of time.
LOOK_EVERY = 0.05
LONGEST_BACKOFF = 10.0
# A due job that was not to be had is in another scheduler's hands, or has no place before its time.
OTHERS_TURN = 0.01


class SchedulerLoop:
    """Runs until asked to stop. Errors of the database are waited out, and said once."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._watch: Watch = watch(JOBS_CHANGED, interval=LOOK_EVERY)
        self._failures = 0

    def run(self) -> None:
        """Return when asked to stop."""
        try:
            while not self._stop.is_set():
                self._turn_or_back_off()
        finally:
            self._watch.close()
            stop_blocking_runtime()

    def _turn_or_back_off(self) -> None:
        try:
            # Beats for this process, and sweeps the holds of those that died.
            blocking_runtime(role="scheduler")
            self._turn()
        except Error as error:
            self._back_off(error)
            return
        if self._failures:
            logger.warning("The database is back; scheduling goes on.")
            self._failures = 0

    def _turn(self) -> None:
        started = time.monotonic()
        now = database_now()
        due = next_due()
        seconds = self._watch.longest_wait
        if due is not None and due <= now + AHEAD:
            if dispatch(now, ahead=AHEAD) + release(now):
                return
            seconds = OTHERS_TURN
        elif due is not None:
            remaining = (due - AHEAD - now).total_seconds() - (time.monotonic() - started)
            seconds = min(seconds, max(0.0, remaining))
        self._watch.wait(seconds, self._stop)

    def _back_off(self, error: Error) -> None:
        if self._failures == 0:
            logger.warning("The database failed, trying again: %s", in_one_line(error))
        connection.close()
        self._stop.wait(min(LONGEST_BACKOFF, 0.1 * 2**self._failures))
        self._failures += 1
