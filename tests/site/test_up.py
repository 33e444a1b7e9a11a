"""`up` as an operator meets it: real processes on a database of their own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from palyra_site.cli import EXIT_USAGE, ROLES
from tests.support.databases import own_database
from tests.support.palyra import KEY, Palyra, start_palyra, wait_until_ready
from tests.support.processes import REPOSITORY, ChildProcess, alive, descendants, eventually

pytestmark = pytest.mark.processes
PASSWORD = r"[a-z2-9]{5}(-[a-z2-9]{5}){3}"


@pytest.fixture
def palyra() -> Iterator[Palyra]:
    with start_palyra(migrated=False) as started:
        yield started


@pytest.fixture(scope="module")
def running() -> Iterator[Palyra]:
    """One that several tests may use, because each leaves it running."""
    with start_palyra() as started:
        yield started


def ask_as_printed(up: ChildProcess, key: str) -> httpx.Response:
    """Do what the printed curl line does, with `key` where it names $PALYRA_KEY."""
    line = up.wait_for_line(r"^\s*(curl .*)$")[1].replace("$PALYRA_KEY", key)
    curl, address, *options = shlex.split(line)
    assert curl == "curl"
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(text.split(": ", 1) for flag, text in pairs if flag == "-H")
    (body,) = [text for flag, text in pairs if flag == "-d"]
    return httpx.post(address, content=body, headers=headers, trust_env=False, timeout=30)


def role_leader(up: ChildProcess, role: str) -> int:
    """The child that `up` itself started for a role."""
    found = eventually(
        lambda: [pid for pid in _children(up.pid) if _words(pid)[-1:] == [role]],
        lambda pids: len(pids) == 1,
        what=f"one {role} process",
    )
    return found[0]


def _children(pid: int) -> list[int]:
    below = descendants(pid)
    return [child for child in below if _parent(child) == pid]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def all_gone(pids: list[int]) -> None:
    eventually(
        lambda: [pid for pid in pids if alive(pid)], lambda left: not left, what="all have ended"
    )


def test_the_first_run_shows_secrets_once_and_the_second_keeps_everything(palyra: Palyra) -> None:
    first = palyra.up
    assert len(re.findall(rf"^  Password +{PASSWORD}$", first.output, re.MULTILINE)) == 1
    assert len(re.findall(rf"^  API key +{KEY}$", first.output, re.MULTILINE)) == 1
    assert f"{palyra.base_url}/admin/" in first.output
    assert f"{palyra.base_url}/team/" in first.output
    answer = ask_as_printed(first, palyra.key)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]

    below = descendants(first.pid)
    first.send(signal.SIGINT)
    assert first.wait() == 0
    all_gone(below)
    assert first.lines[-1].endswith("| stopped")

    palyra.start()
    second = palyra.up
    assert palyra.password not in second.output
    assert not re.search(KEY, second.output)
    assert not re.search("[Pp]assword", second.output)
    assert "Bearer $PALYRA_KEY" in second.output
    assert ask_as_printed(second, palyra.key).status_code == 200


def test_children_are_kept_running_and_end_with_their_supervisor(running: Palyra) -> None:
    palyra, up = running, running.up
    for role in ROLES:
        seen = len(up.lines)
        killed = role_leader(up, role)
        below = descendants(killed)
        os.kill(killed, signal.SIGKILL)
        up.wait_for_line(rf"^palyra +\| {role} was killed by SIGKILL .* started again", after=seen)
        assert role_leader(up, role) != killed
        all_gone(below)
    wait_until_ready(palyra.base_url)
    assert ask_as_printed(up, palyra.key).status_code == 200

    below = descendants(up.pid)
    assert len(below) > len(ROLES)
    up.send(signal.SIGKILL)
    up.wait()
    all_gone(below)
    palyra.start()
    assert ask_as_printed(palyra.up, palyra.key).status_code == 200


def test_a_data_directory_has_one_up(running: Palyra) -> None:
    refused = run_up(dict(running.environment))
    assert refused.returncode == EXIT_USAGE
    assert refused.stderr.startswith("palyra: PALYRA_DATA_DIR: ")
    assert f"is in use by another `up` (process {running.up.pid})" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert running.up.exit_status is None


def run_up(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def environment(data_dir: Path, free_port: int) -> Iterator[dict[str, str]]:
    with own_database(data_dir) as database_url:
        yield {
            **os.environ,
            "PALYRA_DATA_DIR": str(data_dir),
            "PALYRA_PORT": str(free_port),
            "DATABASE_URL": database_url,
        }


def refusal(environment: dict[str, str]) -> str:
    """The one line with which `up` refuses to start, having shown no secret."""
    refused = run_up(environment)
    assert refused.returncode == EXIT_USAGE, refused.stderr
    assert "shown once" not in refused.stdout
    (line,) = refused.stderr.splitlines()
    assert line.startswith("palyra: ")
    return line.removeprefix("palyra: ")


@pytest.mark.any_database
def test_a_port_that_is_taken(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(environment["PALYRA_PORT"]))):
        line = refusal(environment)
    assert line.startswith(f"PALYRA_PORT: port {environment['PALYRA_PORT']} of 127.0.0.1 is taken")


@pytest.mark.any_database
def test_a_database_that_does_not_answer(environment: dict[str, str]) -> None:
    port = environment["PALYRA_PORT"]
    environment["DATABASE_URL"] = f"postgres://someone:hunter2@127.0.0.1:{port}/palyra"
    line = refusal(environment)
    assert line.startswith(f"DATABASE_URL: postgres://someone@127.0.0.1:{port}/palyra cannot be")
    assert "hunter2" not in line


@pytest.mark.any_database
def test_a_file_that_is_no_database(environment: dict[str, str], data_dir: Path) -> None:
    file = data_dir / "notes.txt"
    file.write_text("This is not a database, however long one looks at it.\n" * 100)
    environment["DATABASE_URL"] = f"sqlite:///{file}"
    line = refusal(environment)
    assert line == f"DATABASE_URL: {file} cannot be reached: file is not a database"


@pytest.mark.any_database
def test_a_database_in_a_directory_that_is_not_there(
    environment: dict[str, str], data_dir: Path
) -> None:
    environment["DATABASE_URL"] = f"sqlite:///{data_dir}/none/palyra.sqlite3"
    assert refusal(environment).endswith("cannot be reached: unable to open database file")


@pytest.mark.any_database
def test_a_database_that_cannot_be_set_up(environment: dict[str, str], data_dir: Path) -> None:
    file = data_dir / "other.sqlite3"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE auth_user (id integer primary key)")
    other.close()
    environment["DATABASE_URL"] = f"sqlite:///{file}"
    line = refusal(environment)
    assert line.startswith(f"DATABASE_URL: {file} cannot be set up: ")


@pytest.mark.any_database
def test_redis_that_does_not_answer(environment: dict[str, str]) -> None:
    port = environment["PALYRA_PORT"]
    environment["REDIS_URL"] = f"redis://:hunter2@127.0.0.1:{port}/0"
    line = refusal(environment)
    assert line.startswith(f"REDIS_URL: redis://127.0.0.1:{port}/0 cannot be reached: ")
    assert "hunter2" not in line
