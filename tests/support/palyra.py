"""Palyra itself, started the way `make run` starts it, in a directory and on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.support.client import Integration, Person
from tests.support.databases import own_database
from tests.support.processes import (
    ChildProcess,
    alive,
    descendants,
    eventually,
    free_port,
    kill_all,
)
from tests.support.records import Records

KEY = r"ply_[0-9a-f]+_[0-9a-f]+"
# What the caller's shell may hold must not reach the Palyra under test.
FOREIGN = re.compile(r"^(PALYRA_|DJANGO_|DATABASE_URL|REDIS_URL|PYTEST_)")


class Palyra:
    """One Palyra: `up` with its web, worker and scheduler, and what it printed the first time."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.records = Records(database_url)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not FOREIGN.match(name)},
            "PALYRA_DATA_DIR": str(data_dir),
            "PALYRA_PORT": str(self.port),
            "PALYRA_ENV_FILE": os.devnull,
            "DATABASE_URL": database_url,
            "PYTHONUNBUFFERED": "1",
        }
        self.username = "admin"
        self.password = ""
        self.key = ""
        self._children = ExitStack()

    def start(self) -> None:
        """Start `up` on what is stored, and wait until it serves."""
        self.up = self._child("up", "up")
        self.up.wait_for_line(r"curl ")
        wait_until_ready(self.base_url)

    def start_for_the_first_time(self) -> None:
        """The same on an empty database, where the password and a key are printed."""
        self.start()
        self.password = self.up.wait_for_line(r"[Pp]assword\W+(\S+)")[1]
        self.key = self.up.wait_for_line(KEY)[0]

    def second_web(self) -> str:
        """The address of one more web process on the same database, ready to serve."""
        port = free_port()
        self._child("second web", "web", "--port", str(port))
        wait_until_ready(f"http://127.0.0.1:{port}")
        return f"http://127.0.0.1:{port}"

    def _child(self, name: str, *arguments: str) -> ChildProcess:
        command = [sys.executable, "manage.py", *arguments]
        child = ChildProcess(name, command, environment=self.environment)
        return self._children.enter_context(child)

    def administrator(self) -> Person:
        """The first administrator, signed in."""
        return Person(self.base_url, self.username, self.password)

    def integration(self, key: str | None = None) -> Integration:
        """An integration with the key that was printed, or with another."""
        return Integration(self.base_url, self.key if key is None else key)

    def process_id(self, role: str) -> int:
        """The process that beats in a role, awaited until there is exactly one."""
        found = eventually(
            lambda: {pid for pid in self.records.process_ids(role) if alive(pid)},
            lambda pids: len(pids) == 1,
            what=f"one {role} process beats",
        )
        return found.pop()

    def kill_everything(self) -> None:
        """SIGKILL to all processes at once, as a power cut would; `start` begins again."""
        # Stopped first, so that it restarts nobody while they are killed.
        self.up.send(signal.SIGSTOP)
        kill_all([*descendants(self.up.pid), self.up.pid])
        self._children.close()

    def stop(self) -> None:
        """Stop everything as Ctrl-C does; what does not end in good time is killed, and a fault."""
        self._children.close()


def wait_until_ready(base_url: str) -> None:
    """Wait until `/readyz` says that calls can be served."""
    eventually(
        lambda: _ready(base_url), lambda ready: ready, what=f"{base_url}/readyz is well", pause=0.2
    )


def _ready(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/readyz", trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def start_palyra(*, migrated: bool = True) -> Iterator[Palyra]:
    """A Palyra with a database without rows; all of it is gone when the block ends.

    Without `migrated` the database is as empty as on the first day.
    """
    with tempfile.TemporaryDirectory(prefix="palyra-test-") as directory:
        data_dir = Path(directory)
        with own_database(data_dir, migrated=migrated) as database_url:
            palyra = Palyra(data_dir, database_url)
            try:
                palyra.start_for_the_first_time()
                yield palyra
            finally:
                palyra.stop()
                palyra.records.close()
