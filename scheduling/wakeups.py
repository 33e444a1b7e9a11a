"""Waking as soon as the database changes, rather than asking it again and again.

PostgreSQL says so by itself (LISTEN and NOTIFY); of SQLite one number is read every few
milliseconds, which changes with each commit of any process.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import suppress
from typing import Any, Protocol

import psycopg
from django.db import connection

from governance.errors import in_one_line
from scheduling.stopping import StopRequest

logger = logging.getLogger(__name__)
JOBS_CHANGED = "palyra_jobs"
MESSAGES_SENT = "palyra_messages"
RUNS_CANCELLED = "palyra_cancelled"
SQLITE_LONGEST_WAIT = 1.0
POSTGRESQL_LONGEST_WAIT = 5.0


def announce(channel: str) -> None:
    """Wake who waits on `channel`, once the caller's transaction is committed."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {channel}")


class Watch(Protocol):
    """Waits for a change of the database."""

    longest_wait: float

    def wait(self, seconds: float, stop: StopRequest) -> None:
        """Return on a change since the last wait, when asked to stop, or after `seconds`.

        Never fails: with the database away it waits for the time given.
        """

    def close(self) -> None:
        """Let go of the connection."""


def watch(channel: str, *, interval: float) -> Watch:
    """A watch for this process on the default database. SQLite is looked at every `interval` s."""
    if connection.vendor == "postgresql":
        return PostgresWatch(channel)
    return SqliteWatch(str(connection.settings_dict["NAME"]), interval)


class SqliteWatch:
    """Reads `data_version` on a connection of its own: it counts the commits of all others."""

    longest_wait = SQLITE_LONGEST_WAIT

    def __init__(self, path: str, interval: float) -> None:
        self._path = path
        self._interval = interval
        self._connection: sqlite3.Connection | None = None
        # As of the end of the last wait, so that no commit since then is slept through.
        self._seen: int | None = None

    def wait(self, seconds: float, stop: StopRequest) -> None:
        deadline = time.monotonic() + seconds
        while True:
            version = self._version()
            if version != self._seen:
                self._seen = version
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0 or stop.wait(min(self._interval, remaining)):
                return

    def _version(self) -> int | None:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._path, isolation_level=None, check_same_thread=False
                )
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            self.close()
            return self._seen

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresWatch:
    """Listens on a connection of its own."""

    longest_wait = POSTGRESQL_LONGEST_WAIT

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float, stop: StopRequest) -> None:
        try:
            if self._connection is None:
                # What was announced before nobody has heard, so look at once.
                self._connection = self._listen()
                return
            stop.wait(seconds, self._connection.fileno())
            for _ in self._connection.notifies(timeout=0):
                pass
        except psycopg.Error as error:
            logger.warning("Listening for changes failed, polling instead: %s", in_one_line(error))
            self.close()
            stop.wait(min(seconds, SQLITE_LONGEST_WAIT))

    def _listen(self) -> psycopg.Connection[Any]:
        parameters: dict[str, Any] = connection.get_connection_params()
        parameters.pop("pool", None)
        listening = psycopg.connect(**parameters, autocommit=True)
        listening.execute(f"LISTEN {self._channel}")
        return listening

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
