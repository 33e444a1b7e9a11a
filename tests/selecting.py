"""Which tests say something about the kind of database, and so are run on each.

The others are run once. Whoever is in doubt is run: a test is only left out if it asks for no
database, starts no process, and neither its module nor one that its fixtures are from speaks of
where databases are found.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from functools import cache
from typing import Any

import pytest

VARIABLE = "PALYRA_TEST_ONLY"
# Its values.
DATABASE, OTHERS = "database", "others"
FIXTURES = {
    "db",
    "transactional_db",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
    "live_server",
}
# What fixtures ask for that let their tests at the database without saying so.
SETTING_UP = {"django_db_blocker", "django_db_setup"}
MARKS = ("django_db", "processes", "browser")
SPOKEN_OF = re.compile(
    r"own_database|support\.databases|support\.palyra|DATABASE_URL|\bconnections?\b|postgres|manage\.py"
)
# It has the fixtures of every test.
OWN = "tests.conftest"


def leave_out_the_others(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have only those run that are about the database, or only the others, if either was asked
    for. Raises `pytest.UsageError` if something else was."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    if wanted not in {DATABASE, OTHERS}:
        raise pytest.UsageError(f"{VARIABLE}: {wanted!r} is neither {DATABASE!r} nor {OTHERS!r}.")
    sides: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        sides[is_about_the_database(item)].append(item)
    items[:] = sides[wanted == DATABASE]
    config.hook.pytest_deselected(items=sides[wanted != DATABASE])


def is_about_the_database(item: Any) -> bool:
    """Whether the test might end otherwise on another kind of database."""
    if item.get_closest_marker("every_database"):
        return True
    if item.get_closest_marker("any_database"):
        return False
    if any(item.get_closest_marker(name) for name in MARKS):
        return True
    if FIXTURES.intersection(item.fixturenames):
        return True
    found = item._fixtureinfo.name2fixturedefs.values()
    own = [one for several in found for one in several if _is_ours(one)]
    if any(SETTING_UP.intersection(one.argnames) for one in own):
        return True
    modules = {item.module.__name__, *(one.func.__module__ for one in own)} - {OWN}
    return any(_speaks_of_databases(name) for name in modules)


def _is_ours(fixture: Any) -> bool:
    return str(fixture.func.__module__).startswith("tests.") and (
        # Ours of this name is every test's through the one it is in place of.
        fixture.argname != "django_db_setup"
    )


@cache
def _speaks_of_databases(name: str) -> bool:
    return bool(SPOKEN_OF.search(inspect.getsource(sys.modules[name])))
