"""Databases for benchmarks: made anew for each, in a process of its own, and gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DATABASES = ("sqlite", "postgresql")
# Beside PostgreSQL, for the messages.
REDIS = "redis"
# In this process, which has the settings of the one database it measures.
INSIDE = "PALYRA_BENCHMARK_INSIDE"


def is_inside() -> bool:
    """Whether this is the process that measures."""
    return INSIDE in os.environ


def in_a_process(module: str, *arguments: str, database: str) -> None:
    """Run `python -m module` with the settings of an empty `database`."""
    from tests import postgres

    with ExitStack() as until_done:
        directory = until_done.enter_context(tempfile.TemporaryDirectory(prefix="palyra-bench-"))
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("PALYRA_")},
            "PALYRA_DATA_DIR": directory,
            "PALYRA_ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "palyra_site.settings",
            "DATABASE_URL": f"sqlite:///{Path(directory) / 'palyra.sqlite3'}",
            INSIDE: "1",
        }
        if database != "sqlite":
            environment["DATABASE_URL"] = until_done.enter_context(postgres.server())
        if database == REDIS:
            environment["REDIS_URL"] = until_done.enter_context(_redis(Path(directory)))
        command = [sys.executable, "-m", module, *arguments]
        subprocess.run(command, env=environment, check=True)


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    socket = directory / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait()
