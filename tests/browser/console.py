"""A console to look at: the real web process, on plausible data in a database of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.databases import own_database
from tests.support.processes import REPOSITORY, ChildProcess, eventually, free_port

ADMINISTRATOR, VIEWER, MEMBER = "ada", "victor", "mira"
OPERATOR = "oscar"
PASSWORD = "looking-around-1"
FOREIGN = re.compile(r"^(PALYRA_|DJANGO_|DATABASE_URL|REDIS_URL|PYTEST_)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Where it is. `ADMINISTRATOR`, `VIEWER`, `OPERATOR` and `MEMBER` sign in with `PASSWORD`."""

    base_url: str


@contextmanager
def console(*, seeded: bool = True, demo: bool = False, **settings: str) -> Iterator[Console]:
    """Serve a console until the block ends; without `seeded` it has an administrator only, and with
    `demo` what `palyra demo` makes. `settings` are Palyra's own, by their variables' names."""
    with tempfile.TemporaryDirectory(prefix="palyra-console-") as directory:
        data_dir = Path(directory)
        with own_database(data_dir) as database_url:
            port = free_port()
            environment = {**_environment(data_dir, database_url, port), **settings}
            _prepare(environment, "demo" if demo else "seeded" if seeded else "empty")
            command = [sys.executable, "manage.py", "web", "--port", str(port)]
            with ChildProcess("console", command, environment=environment):
                base_url = f"http://127.0.0.1:{port}"
                eventually(lambda: _answers(base_url), bool, what=f"{base_url} answers")
                yield Console(base_url=base_url)


def _environment(data_dir: Path, database_url: str, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return {
        **kept,
        "PALYRA_DATA_DIR": str(data_dir),
        "PALYRA_PORT": str(port),
        "PALYRA_ENV_FILE": os.devnull,
        # The seeded processes beat once; they are to look alive for as long as one looks.
        "PALYRA_OWNER_TIMEOUT": "3600",
        "DATABASE_URL": database_url,
    }


def _prepare(environment: dict[str, str], what: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.browser.fill", what],
        cwd=REPOSITORY,
        env=environment,
        check=True,
    )


def _answers(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/livez", trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
