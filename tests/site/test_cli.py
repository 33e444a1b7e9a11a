"""The command line, as processes: what a person sees who gets a setting wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from governance.acting import Acting, current
from palyra_site.cli import EXIT_USAGE, asks_for_help, main
from tests.support.processes import REPOSITORY

pytestmark = [pytest.mark.processes, pytest.mark.any_database]
MANAGE = [sys.executable, "manage.py"]
MODULE = [sys.executable, "-m", "palyra_site"]
INSTALLED = [str(Path(sys.executable).with_name("palyra"))]
# What every server, worker and scheduler loads, and then whether the client of Redis is among it.
LOADED = """
import sys
import palyra_site.asgi
from palyra_site.management.commands import up
from scheduling.management.commands import scheduler, worker
print("redis" in sys.modules)
"""
COMMANDS = ["up", "web", "worker", "scheduler", "migrate", "check", "shell", "createsuperuser"]


def run(command: list[str], **given: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("PALYRA_", "DATABASE_URL", "REDIS_URL"))
    }
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**inherited, "PALYRA_ENV_FILE": os.devnull, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("start", [MANAGE, MODULE, INSTALLED])
def test_all_faults_are_plain_lines_and_nothing_is_made(start: list[str], data_dir: Path) -> None:
    place = data_dir / "new"
    ended = run(
        [*start, "check"],
        PALYRA_DATA_DIR=str(place),
        PALYRA_PORT="eighty",
        DATABASE_URL="mysql://someone:hunter2@host/name",
    )
    assert ended.returncode == EXIT_USAGE
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "palyra: PALYRA_PORT: 'eighty' is not a whole number from 1 to 65535.",
        "palyra: DATABASE_URL: the value given is not the address of a database, such as "
        "postgres://user:password@host/name or sqlite:////path/to/file.",
    ]
    assert not place.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_so(command: str, data_dir: Path) -> None:
    ended = run([*MANAGE, command], PALYRA_DATA_DIR=str(data_dir), PALYRA_WORKERS="none")
    assert ended.returncode == EXIT_USAGE
    assert ended.stderr == "palyra: PALYRA_WORKERS: 'none' is not a whole number from 1 to 64.\n"


def test_a_data_directory_that_cannot_be_made(data_dir: Path) -> None:
    # Not even root can make one here, so this says the same to everyone.
    ended = run([*MANAGE, "check"], PALYRA_DATA_DIR="/proc/palyra")
    assert ended.returncode == EXIT_USAGE
    assert ended.stderr.startswith("palyra: PALYRA_DATA_DIR: /proc/palyra ")
    assert ended.stderr.count("\n") == 1


def test_redis_is_not_loaded_where_it_is_not_used(data_dir: Path) -> None:
    ended = run([*MANAGE, "shell", "--no-imports", "-c", LOADED], PALYRA_DATA_DIR=str(data_dir))
    assert (ended.stdout, ended.stderr) == ("False\n", "")


@pytest.mark.parametrize("words", [["--help"], ["help"], ["up", "--help"], ["web", "-h"], []])
def test_asking_for_help_makes_nothing(words: list[str], data_dir: Path) -> None:
    place = data_dir / "new"
    ended = run([*MANAGE, *words], PALYRA_DATA_DIR=str(place))
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert not place.exists()


def test_help_names_our_commands(data_dir: Path) -> None:
    ended = run([*MANAGE, "help"], PALYRA_DATA_DIR=str(data_dir))
    for command in ("up", "web", "worker", "scheduler"):
        assert f"    {command}\n" in ended.stdout


def test_help_for_up_says_what_it_does(data_dir: Path) -> None:
    ended = run([*MANAGE, "up", "--help"], PALYRA_DATA_DIR=str(data_dir))
    assert "run web, worker and scheduler until stopped" in ended.stdout


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ([], True),
        (["help", "up"], True),
        (["up", "-h"], True),
        (["--version"], True),
        (["up"], False),
        (["check", "--deploy"], False),
    ],
)
def test_what_counts_as_asking_for_help(words: list[str], asks: bool) -> None:
    assert asks_for_help(["manage.py", *words]) is asks


@pytest.mark.parametrize(
    ("command", "surface"),
    [("models", "command line"), ("shell", "command line"), ("up", "system"), ("web", "system")],
)
def test_commands_act_for_whoever_typed_them(
    command: str, surface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Acting] = []
    monkeypatch.setattr(
        "django.core.management.execute_from_command_line", lambda _: seen.append(current())
    )
    monkeypatch.setattr("palyra_site.cli._look_at_the_vault", lambda _: None)
    monkeypatch.setenv("PALYRA_ROLE", "command")
    main(["palyra", command])

    assert [one.surface for one in seen] == [surface]
    assert current().is_system
