"""Where settings come from is said, and no secret with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palyra_site import configuration
from palyra_site.configuration import layers
from palyra_site.setting_sources import HIDDEN, news_of_file, setting_sources

# Addresses of databases are only texts here.
pytestmark = pytest.mark.any_database
SECRET = "S3cr3t" * 8


def _by_name(environment: dict[str, str]) -> dict[str, Any]:
    return {one.name: one for one in setting_sources(layers(environment))}


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "env"
    path.write_text(f"PALYRA_PORT=9001\nPALYRA_WORKERS=3\nPALYRA_SECRET_KEY={SECRET}\n")
    return path


def test_the_environment_outranks_the_file_and_that_the_defaults(env_file: Path) -> None:
    found = _by_name({"PALYRA_ENV_FILE": str(env_file), "PALYRA_PORT": "9002"})

    assert (found["PALYRA_PORT"].value, found["PALYRA_PORT"].source) == ("9002", "environment")
    assert (found["PALYRA_WORKERS"].value, found["PALYRA_WORKERS"].source) == (
        "3",
        "the .env file",
    )
    assert found["PALYRA_LOG_LEVEL"].is_default
    assert found["PALYRA_LOG_LEVEL"].value == "INFO"


def test_a_file_that_holds_a_value_is_named_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    found = _by_name({"PALYRA_SECRET_KEY_FILE": str(path), "PALYRA_ENV_FILE": "/dev/null"})

    assert found["PALYRA_SECRET_KEY"].value == str(path)
    assert found["PALYRA_SECRET_KEY"].source == "a file that environment names"


def test_no_secret_is_shown(env_file: Path) -> None:
    given = {
        "PALYRA_ENV_FILE": str(env_file),
        "DATABASE_URL": f"postgres://palyra:{SECRET}@db/palyra",
        "REDIS_URL": f"redis://:{SECRET}@redis/0",
        "PALYRA_EMAIL_URL": f"smtp://me:{SECRET}@mail",
        "PALYRA_VAULT_KEY": SECRET,
    }
    found = setting_sources(layers(given))

    assert not any(SECRET in one.value for one in found)
    hidden = {one.name for one in found if one.value == HIDDEN}
    assert {*given, "PALYRA_SECRET_KEY"} - {"PALYRA_ENV_FILE"} <= hidden
    assert not any(one.is_default for one in found if one.name in given)


def test_every_setting_is_told_once() -> None:
    found = [one.name for one in setting_sources(layers({"PALYRA_ENV_FILE": "/dev/null"}))]

    assert sorted(found) == sorted(set(configuration.names()))


class TestTheFileLater:
    """What a running process was started with does not change with the file."""

    def test_it_is_still_said_what_the_process_was_started_with(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        before = setting_sources(start)
        env_file.write_text("PALYRA_PORT=7\n")
        assert setting_sources(start) == before

    def test_nothing_is_said_of_a_file_that_is_the_same(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        env_file.write_bytes(env_file.read_bytes())
        assert news_of_file(start) == ""

    def test_that_it_has_changed_is_said_without_what_it_holds(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        env_file.write_text(f"PALYRA_PORT=7\nPALYRA_SECRET_KEY={SECRET}x\n")
        said = news_of_file(start)
        assert said.startswith(f"{env_file} has changed since this process started, which")
        assert SECRET not in said

    def test_a_fault_it_has_now_is_said_in_words(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        env_file.write_text(f"PALYRA_PORT=7\n{SECRET}\n")
        said = news_of_file(start)
        assert f"line 2 of {env_file} is not NAME=value." in said
        assert SECRET not in said

    def test_a_value_that_no_start_would_take_is_said(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        env_file.write_text(f"PALYRA_PORT=many\nPALYRA_SECRET_KEY={SECRET}x\n")
        said = news_of_file(start)
        assert said.startswith(f"{env_file} has changed since this process started, and could not")
        assert "PALYRA_PORT" in said
        assert SECRET not in said

    def test_a_file_that_cannot_be_read_any_more_is_said(self, env_file: Path) -> None:
        start = layers({"PALYRA_ENV_FILE": str(env_file)})
        env_file.write_bytes(b"\xff\xfe")
        assert f"{env_file} cannot be read." in news_of_file(start)
        env_file.unlink()
        assert "has been taken away since this process started" in news_of_file(start)
