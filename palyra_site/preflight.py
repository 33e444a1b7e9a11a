"""What must be so before Palyra starts, each fault one line that names its setting."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.db import Error as DatabaseFailure
from django.db import connection

from palyra_site.configuration import ConfigurationError

LOCK_NAME = "up.lock"
# How long the children of an `up` that was killed may still take to end.
ORPHAN_PATIENCE = 20.0
CONNECT_SECONDS = 10
SET_UP_LOCK = 0x70616C7972610002  # "palyra", 2


@contextmanager
def sole_use(data_dir: Path) -> Iterator[int]:
    """Hold the data directory for one `up`; yields the lock's descriptor.

    Whoever inherits the descriptor holds the directory too. Raises `ConfigurationError` if another
    `up` has it.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor):
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigurationError(
                f"PALYRA_DATA_DIR: {data_dir} is in use by another `up` (process {owner}). Stop "
                f"that one, or give this one a data directory and a port of its own."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    deadline = time.monotonic() + ORPHAN_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _owner_runs(descriptor) or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def _owner_runs(descriptor: int) -> bool:
    try:
        os.kill(int(os.pread(descriptor, 32, 0)), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `ConfigurationError` naming the variable at fault."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        raise ConfigurationError(_listening_fault(host, port, error)) from None


def _listening_fault(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"PALYRA_PORT: port {port} of {host} is taken by another program. Stop it, or set "
            f"PALYRA_PORT to a free one."
        )
    if error.errno == errno.EACCES:
        return (
            f"PALYRA_PORT: this user may not listen on port {port}. Choose one above 1023, and "
            f"let a proxy answer on {port}."
        )
    return f"PALYRA_HOST: {host} is not an address of this machine ({error.strerror})."


def reach_database() -> None:
    """Connect once. Raises `ConfigurationError` naming DATABASE_URL, never its password."""
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", CONNECT_SECONDS)
    with database_faults("cannot be reached"):
        connection.ensure_connection()


@contextmanager
def database_faults(what: str) -> Iterator[None]:
    """Turn a failure of the database into one line: its address, `what`, and the reason."""
    try:
        yield
    except DatabaseFailure as error:
        database = connection.settings_dict
        reason = _first_line(error, str(database["PASSWORD"]))
        raise ConfigurationError(
            f"DATABASE_URL: {database_address(database)} {what}: {reason}"
        ) from None


def database_address(database: dict[str, Any]) -> str:
    """A database's address without its password."""
    if database["ENGINE"].endswith("sqlite3"):
        return str(database["NAME"])
    host = database["HOST"] or database["OPTIONS"].get("host", "")
    user = f"{database['USER']}@" if database["USER"] else ""
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgres://{user}{host}{port}/{database['NAME']}"


def _first_line(error: Exception, password: str) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.replace(password, "…") if password else line


def reach_redis(url: str) -> None:
    """Ask once. Raises `ConfigurationError` naming REDIS_URL, never its password."""
    import redis  # noqa: PLC0415 - it takes a while to load, and is not used without this setting

    parts = urlsplit(url)
    try:
        client = redis.Redis.from_url(
            url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS
        )
        with client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        reason = _first_line(error, parts.password or "")
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ConfigurationError(f"REDIS_URL: {where} cannot be reached: {reason}") from None


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one machine at a time set up a database that several share.

    With SQLite there is one machine, and `sole_use` has seen to it.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [SET_UP_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [SET_UP_LOCK])
