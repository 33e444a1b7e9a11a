"""No process starts that would need secrets which it cannot read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import Error as DatabaseFailure
from pytest_django import Settings

from palyra_site import vault_check
from palyra_site.cli import EXIT_USAGE
from palyra_site.configuration import ConfigurationError
from palyra_site.vault_check import before_serving, vault_in_order
from providers import vault
from providers.models import Secret
from tests.support.databases import own_database
from tests.support.factories import make_secret
from tests.support.processes import REPOSITORY, free_port

TEXT = "sk-a-secret-of-the-check-0123"


def fault() -> str:
    """The one line that refuses to start."""
    with pytest.raises(ConfigurationError) as caught:
        vault_in_order()
    (line,) = caught.value.faults
    assert line.startswith("PALYRA_VAULT_KEY: ")
    assert "\n" not in line
    assert "palyra vault forget" in line
    return line


@pytest.mark.django_db
class TestOwnFile:
    @pytest.fixture(autouse=True)
    def path(self, settings: Settings, data_dir: Path) -> Path:
        settings.PALYRA_VAULT_KEY = ""
        settings.PALYRA_VAULT_KEY_PATH = data_dir / "vault.key"
        return data_dir / "vault.key"

    def test_it_is_made_on_the_first_start(self, path: Path) -> None:
        vault_in_order()
        made = path.read_text()
        vault_in_order()
        assert path.read_text() == made

    def test_a_missing_one_is_not_made_anew(self, path: Path) -> None:
        make_secret(TEXT)
        make_secret(TEXT)
        path.unlink()
        line = fault()
        assert f"{path} is missing, and 2 stored secrets are encrypted" in line
        assert "Restore the file from a backup" in line
        assert not path.exists()

    def test_another_one_is_refused(self, path: Path) -> None:
        make_secret(TEXT)
        path.write_text(vault.new_key())
        vault._found.clear()
        assert f"secret cannot be read with the keys from {path}" in fault()

    @pytest.mark.parametrize("content", [b"", b"hunter2", b"\xff"])
    def test_a_damaged_one_is_refused_even_if_nothing_is_stored(
        self, path: Path, content: bytes
    ) -> None:
        path.write_bytes(content)
        line = fault()
        assert str(path) in line
        assert "hunter2" not in line
        assert path.read_bytes() == content


@pytest.mark.django_db
class TestGiven:
    @pytest.fixture(autouse=True)
    def key(self, settings: Settings) -> str:
        settings.PALYRA_VAULT_KEY = vault.new_key()
        return str(settings.PALYRA_VAULT_KEY)

    def test_any_of_the_keys_will_do(self, settings: Settings, key: str) -> None:
        make_secret(TEXT)
        settings.PALYRA_VAULT_KEY = f"{vault.new_key()},{key}"
        vault_in_order()

    def test_another_one_is_refused(self, settings: Settings) -> None:
        make_secret(TEXT)
        make_secret(TEXT)
        settings.PALYRA_VAULT_KEY = vault.new_key()
        line = fault()
        assert "none of 2 stored secrets can be read with the keys from PALYRA_VAULT_KEY" in line
        assert settings.PALYRA_VAULT_KEY not in line

    def test_of_a_single_one_it_only_warns(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_secret(TEXT, name="lost")
        settings.PALYRA_VAULT_KEY = vault.new_key()
        make_secret(TEXT, name="good")
        with caplog.at_level(logging.WARNING):
            vault_in_order()
        (record,) = caplog.records
        assert "The secret lost was encrypted with another vault key" in record.getMessage()

    def test_what_is_kept_elsewhere_needs_no_key(self, settings: Settings) -> None:
        secret = Secret(name="elsewhere")
        secret.set_reference("env:NOWHERE_AT_ALL")
        secret.save()
        vault_in_order()


def test_a_database_that_is_away_stops_nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise DatabaseFailure("away")

    monkeypatch.setattr(vault_check, "vault_in_order", away)
    before_serving()


STORE = """
import django
django.setup()
from providers.models import Secret
secret = Secret(name="openai")
secret.set_text("sk-a-secret-of-the-check-0123")
secret.save()
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Python in an installation that has one secret, under its own key file."""
    place = tmp_path_factory.mktemp("palyra")
    with own_database(place) as url:
        common = {
            **os.environ,
            "PALYRA_DATA_DIR": str(place),
            "PALYRA_PORT": str(free_port()),
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "palyra_site.settings",
        }

        def run(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *words],
                cwd=REPOSITORY,
                env={**common, **given},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        assert run("manage.py", "migrate").returncode == 0
        assert run("-c", STORE).returncode == 0
        yield run


@pytest.mark.processes
@pytest.mark.parametrize("command", ["up", "web", "worker", "scheduler"])
@pytest.mark.any_database
def test_each_process_refuses_a_wrong_key(run: Run, command: str) -> None:
    ended = run("manage.py", command, PALYRA_VAULT_KEY=vault.new_key())
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == EXIT_USAGE
    assert line.startswith(
        "palyra: PALYRA_VAULT_KEY: the only stored secret cannot be read with the keys from "
        "PALYRA_VAULT_KEY, so no provider could be called with one."
    )


@pytest.mark.processes
@pytest.mark.any_database
def test_a_command_that_needs_no_secret_runs_on(run: Run) -> None:
    ended = run("manage.py", "vault", "status", PALYRA_VAULT_KEY=vault.new_key())
    assert ended.returncode == 0
    assert "1 secret under none of the keys: openai." in ended.stdout
    assert TEXT not in ended.stdout + ended.stderr
