"""What must be so before anything starts."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.db.utils import OperationalError

from palyra_site import preflight
from palyra_site.configuration import ConfigurationError
from tests.support.processes import ChildProcess

POSTGRES = "django.db.backends.postgresql"

KILLED_WITH_AN_ORPHAN = """
import os, subprocess, sys
from pathlib import Path
from palyra_site.preflight import sole_use
with sole_use(Path(sys.argv[1])) as lock:
    subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=[lock])
    print("left", flush=True)
    os._exit(9)
"""
WAITING = """
import sys
from pathlib import Path
from palyra_site.preflight import sole_use
print("waiting", flush=True)
with sole_use(Path(sys.argv[1])):
    print("mine", flush=True)
"""


def fault_of(caught: pytest.ExceptionInfo[ConfigurationError]) -> str:
    (fault,) = caught.value.faults
    assert "\n" not in fault
    return fault


class TestSoleUse:
    """One `up` per data directory."""

    def test_a_second_is_refused_and_names_the_first(self, data_dir: Path) -> None:
        second = preflight.sole_use(data_dir)
        with preflight.sole_use(data_dir), pytest.raises(ConfigurationError) as caught:
            second.__enter__()
        fault = fault_of(caught)
        assert fault.startswith(f"PALYRA_DATA_DIR: {data_dir} is in use by another `up` (process ")

    def test_it_is_free_again_afterwards(self, data_dir: Path) -> None:
        for _ in range(2):
            with preflight.sole_use(data_dir) as descriptor:
                assert descriptor > 2

    @pytest.mark.processes
    def test_the_orphans_of_a_killed_one_are_waited_for(self, data_dir: Path) -> None:
        # A child that inherited the lock keeps the directory after its parent was killed.
        killed = [sys.executable, "-c", KILLED_WITH_AN_ORPHAN, str(data_dir)]
        waiting = [sys.executable, "-c", WAITING, str(data_dir)]
        with ChildProcess("killed", killed) as first:
            first.wait_for_line("left")
            assert first.wait() == 9
            with ChildProcess("waiting", waiting) as second:
                second.wait_for_line("waiting")
                assert second.exit_status is None
                first.close_input()
                second.wait_for_line("mine")
                assert second.wait() == 0


class TestListen:
    """The web process's socket."""

    def test_it_answers(self, free_port: int) -> None:
        with preflight.listen("127.0.0.1", free_port):
            socket.create_connection(("127.0.0.1", free_port), timeout=5).close()

    def test_a_port_that_is_taken(self, free_port: int) -> None:
        with preflight.listen("127.0.0.1", free_port), pytest.raises(ConfigurationError) as caught:
            preflight.listen("127.0.0.1", free_port)
        assert fault_of(caught).startswith(f"PALYRA_PORT: port {free_port} of 127.0.0.1 is taken")

    @pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
    def test_an_address_that_is_not_ours(self, host: str, free_port: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            preflight.listen(host, free_port)
        assert fault_of(caught).startswith(f"PALYRA_HOST: {host} is not an address")

    def test_a_port_that_this_user_may_not_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        # Root may listen anywhere, so what an ordinary user is told is told here.
        monkeypatch.setattr("palyra_site.preflight.socket.create_server", refuse)
        with pytest.raises(ConfigurationError) as caught:
            preflight.listen("127.0.0.1", 80)
        assert fault_of(caught).startswith("PALYRA_PORT: this user may not listen on port 80.")


class TestDatabase:
    """Reaching the database, and saying so when it cannot be."""

    @pytest.mark.django_db
    def test_one_that_is_there(self) -> None:
        preflight.reach_database()
        assert connection.is_usable()

    @pytest.mark.django_db
    def test_one_that_is_not_is_named_without_its_password(
        self, free_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = {
            **connection.settings_dict,
            "ENGINE": POSTGRES,
            "NAME": "palyra",
            "USER": "someone",
            "PASSWORD": "hunter2",
            "HOST": "127.0.0.1",
            "PORT": free_port,
            "OPTIONS": {},
        }
        elsewhere = connections.create_connection("default")
        elsewhere = type(elsewhere)(there) if elsewhere.vendor == "postgresql" else _postgres(there)
        monkeypatch.setattr(preflight, "connection", elsewhere)
        with pytest.raises(ConfigurationError) as caught:
            preflight.reach_database()
        fault = fault_of(caught)
        where = f"postgres://someone@127.0.0.1:{free_port}/palyra"
        assert fault.startswith(f"DATABASE_URL: {where} cannot be reached: ")
        assert "hunter2" not in fault
        assert there["OPTIONS"] == {"connect_timeout": preflight.CONNECT_SECONDS}

    def test_a_reason_that_repeats_the_password_is_masked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hunter2")
        with pytest.raises(ConfigurationError) as caught, preflight.database_faults("is no use"):
            raise OperationalError("no pg_hba.conf entry\nfor hunter2")
        assert fault_of(caught).endswith(" is no use: no pg_hba.conf entry")
        with pytest.raises(ConfigurationError) as caught, preflight.database_faults("is no use"):
            raise OperationalError("hunter2 is wrong")
        assert fault_of(caught).endswith(" is no use: … is wrong")

    @pytest.mark.parametrize(
        ("database", "address"),
        [
            ({"NAME": "/srv/palyra.sqlite3"}, "/srv/palyra.sqlite3"),
            (
                {"ENGINE": POSTGRES, "NAME": "n", "USER": "u", "HOST": "h", "PORT": 5432},
                "postgres://u@h:5432/n",
            ),
            (
                {"ENGINE": POSTGRES, "NAME": "n", "OPTIONS": {"host": "/run/pg"}},
                "postgres:///run/pg/n",
            ),
        ],
    )
    def test_an_address_is_shown_without_its_password(
        self, database: dict[str, Any], address: str
    ) -> None:
        given = {
            **{"ENGINE": "django.db.backends.sqlite3", "USER": "", "PASSWORD": "hunter2"},
            **{"HOST": "", "PORT": "", "OPTIONS": {}},
            **database,
        }
        assert preflight.database_address(given) == address

    @pytest.mark.django_db(transaction=True)
    def test_one_at_a_time_holds_a_lock_that_others_see(self) -> None:
        with preflight.one_at_a_time():
            assert _locked_elsewhere() == (connection.vendor == "postgresql")
        assert not _locked_elsewhere()


def _postgres(settings: dict[str, Any]) -> Any:
    from django.db.backends.postgresql.base import DatabaseWrapper  # noqa: PLC0415

    return DatabaseWrapper(settings, alias="elsewhere")


def _locked_elsewhere() -> bool:
    if connection.vendor != "postgresql":
        return False
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [preflight.SET_UP_LOCK])
            (got,) = cursor.fetchone()
        return not got
    finally:
        other.close()


class TestRedis:
    """Reaching Redis, where it is used."""

    def test_one_that_is_not_there_is_named_without_its_password(self, free_port: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            preflight.reach_redis(f"redis://:hunter2@127.0.0.1:{free_port}/1")
        fault = fault_of(caught)
        where = f"redis://127.0.0.1:{free_port}/1"
        assert fault.startswith(f"REDIS_URL: {where} cannot be reached: ")
        assert "hunter2" not in fault

    def test_one_that_answers(self) -> None:
        # Its answers are all that is asked of it, so a few lines of our own stand in for Redis.
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Redis) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            preflight.reach_redis(f"redis://127.0.0.1:{server.server_address[1]}")
            server.shutdown()


class _Redis(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while head := self.rfile.readline():
            words = [self.rfile.readline() for _ in range(2 * int(head[1:]))][1::2]
            answers = {b"PING": b"+PONG", b"HELLO": b"%1\r\n+proto\r\n:3"}
            self.wfile.write(answers.get(words[0].strip(), b"+OK") + b"\r\n")
