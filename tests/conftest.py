"""Every run of the tests has a data directory and a database of its own, gone when it ends.

`PALYRA_TEST_DATABASE` chooses `sqlite` (the default, in a file) or `postgresql`. Nothing of the
caller's environment or `.env` reaches the settings under test.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import django
import hypothesis
import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from providers import vault
from tests import emptying, postgres, selecting
from tests.support import databases, processes

DATABASES = ("sqlite", "postgresql")
KEPT = ("PALYRA_TEST_", "PALYRA_REQUIRE_BROWSER", "PALYRA_CHROMIUM")
_until_the_end = ExitStack()


def _isolate() -> None:
    """Point the settings at throw-away places. Runs on import: before anything reads them."""
    kind = os.environ.get("PALYRA_TEST_DATABASE", "sqlite")
    if kind not in DATABASES:
        raise pytest.UsageError(f"PALYRA_TEST_DATABASE: {kind!r} is not one of {DATABASES}.")
    for name in list(os.environ):
        if name.startswith(("PALYRA_", "DATABASE_URL", "REDIS_URL")) and not name.startswith(KEPT):
            del os.environ[name]
    directory = tempfile.TemporaryDirectory(prefix="palyra-test-")
    os.environ["PALYRA_DATA_DIR"] = _until_the_end.enter_context(directory)
    os.environ["PALYRA_ENV_FILE"] = os.devnull
    if kind == "postgresql":
        os.environ["DATABASE_URL"] = _until_the_end.enter_context(postgres.server())
    os.environ["DJANGO_SETTINGS_MODULE"] = "palyra_site.settings"
    django.setup()
    _hurry(kind)
    # As `up` does on an empty database.
    vault.make_key()


def _hurry(kind: str) -> None:
    """Nothing here must survive a power cut, and no password is guessed. Processes that tests start
    have the settings that everybody has."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if kind == "sqlite":
        options = settings.DATABASES["default"]["OPTIONS"]
        options["init_command"] += " PRAGMA synchronous=OFF;"


_isolate()
# Nothing that is loaded and collected goes away, and looking through it all takes seconds.
gc.disable()
emptying.install()
# A shared machine pauses when it likes, so no example is judged by how long it took.
hypothesis.settings.register_profile("palyra", deadline=None)
hypothesis.settings.load_profile("palyra")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Keep what the database is at first, for those that need one of their own."""
    with django_db_blocker.unblock():
        databases.keep_template()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the second kind of database only what is about databases is run."""
    selecting.leave_out_the_others(config, items)


def pytest_collection_finish() -> None:
    """From here on only what tests make is looked through for what nobody needs, and more seldom
    than usual: each page makes much, and leaves hardly anything that is not gone by itself."""
    gc.freeze()
    gc.set_threshold(7000, 10, 10)
    gc.enable()


def pytest_unconfigure() -> None:
    """Remove what `_isolate` made; by now the test database has been dropped."""
    _until_the_end.close()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty directory for one Palyra; its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="palyra-test-") as directory:
        yield Path(directory)


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listened on a moment ago."""
    return processes.free_port()
