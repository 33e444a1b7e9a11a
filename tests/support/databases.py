"""A database of its own for each Palyra under test, on the kind the tests run for.

Setting one up takes ten seconds, copying one a moment: what the tests' own database was before the
first of them is kept as a template.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection
from psycopg import sql

KIND_VARIABLE = "PALYRA_TEST_DATABASE"
POSTGRESQL = "postgresql"
TEMPLATE = "palyra_template"
_kept: list[Path | str] = []


def kind() -> str:
    """`sqlite` or `postgresql`."""
    return os.environ.get(KIND_VARIABLE, "sqlite")


def keep_template() -> None:
    """Keep the tests' database as it is now, migrated and without any row of a test."""
    if _kept:
        return
    if kind() == POSTGRESQL:
        source = str(connection.settings_dict["NAME"])
        # Nobody may be connected to what is copied.
        connection.close()
        _execute(os.environ["DATABASE_URL"], "CREATE DATABASE {} TEMPLATE {}", TEMPLATE, source)
        _kept.append(TEMPLATE)
    else:
        file = Path(os.environ["PALYRA_DATA_DIR"]) / "template.sqlite3"
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(file)])
        _kept.append(file)


@contextmanager
def own_database(data_dir: Path, *, migrated: bool = True) -> Iterator[str]:
    """The DATABASE_URL of a database without rows, dropped when the block ends. It is `migrated` if
    that is wanted and the tests' own has been set up: whoever uses it migrates it all the same."""
    if kind() != POSTGRESQL:
        file = data_dir / "palyra.sqlite3"
        if migrated and _kept:
            shutil.copyfile(_kept[0], file)
        yield f"sqlite:///{file}"
        return
    server = os.environ["DATABASE_URL"]
    name = f"palyra_{secrets.token_hex(6)}"
    if migrated and _kept:
        _execute(server, "CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
    else:
        _execute(server, "CREATE DATABASE {}", name)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def _execute(server: str, statement: str, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as direct:
        direct.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
