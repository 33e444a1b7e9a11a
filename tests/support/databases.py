"""A database of its own for each Palyra under test, on the kind the tests run for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

KIND_VARIABLE = "PALYRA_TEST_DATABASE"
POSTGRESQL = "postgresql"


def kind() -> str:
    """`sqlite` or `postgresql`."""
    return os.environ.get(KIND_VARIABLE, "sqlite")


@contextmanager
def own_database(data_dir: Path) -> Iterator[str]:
    """The DATABASE_URL of an empty database, dropped when the block ends."""
    if kind() != POSTGRESQL:
        yield f"sqlite:///{data_dir / 'palyra.sqlite3'}"
        return
    server = os.environ["DATABASE_URL"]
    name = f"palyra_{secrets.token_hex(6)}"
    _execute(server, "CREATE DATABASE {}", name)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def _execute(server: str, statement: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
