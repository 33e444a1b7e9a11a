"""`web` on its own: started, stopped, refused."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command

from palyra_site.cli import EXIT_USAGE
from palyra_site.configuration import ConfigurationError
from tests.support.databases import own_database
from tests.support.processes import ChildProcess

pytestmark = pytest.mark.processes
MANAGE = [sys.executable, "manage.py"]


@pytest.fixture
def environment(data_dir: Path) -> Iterator[dict[str, str]]:
    with own_database(data_dir) as database_url:
        yield {**os.environ, "PALYRA_DATA_DIR": str(data_dir), "DATABASE_URL": database_url}


@pytest.fixture
def web(environment: dict[str, str], free_port: int) -> Iterator[ChildProcess]:
    with ChildProcess("migrate", [*MANAGE, "migrate", "-v0"], environment=environment) as migrate:
        assert migrate.wait(patience=90) == 0
    command = [*MANAGE, "web", "--port", str(free_port)]
    with ChildProcess("web", command, environment=environment) as process:
        process.wait_for_line(rf"Listening on http://127\.0\.0\.1:{free_port}")
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_well(
    web: ChildProcess, free_port: int, number: signal.Signals
) -> None:
    # The socket listens before the application has started, so this waits for it, not for a port.
    alive = httpx.get(f"http://127.0.0.1:{free_port}/livez", trust_env=False, timeout=60)
    assert (alive.status_code, alive.text) == (200, "ok\n")
    assert "server" not in alive.headers
    web.send(number)
    assert web.wait() == 0
    assert "Traceback" not in web.output


def test_a_signal_while_it_starts_is_not_lost(web: ChildProcess) -> None:
    web.send(signal.SIGTERM)
    assert web.wait() == 0


@pytest.mark.any_database
def test_a_port_that_is_taken(environment: dict[str, str], free_port: int) -> None:
    command = [*MANAGE, "web", "--port", str(free_port)]
    taken = socket.create_server(("127.0.0.1", free_port))
    with taken, ChildProcess("web", command, environment=environment) as refused:
        assert refused.wait(patience=90) == EXIT_USAGE
    (line,) = refused.lines
    assert line.startswith(f"palyra: PALYRA_PORT: port {free_port} of 127.0.0.1 is taken")


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"--port: {port} is not a number"):
        call_command("web", port=port)
