"""Rotating the vault's key while others live, and killed in the middle: nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from providers.vault_rotation import (
    may_be_shared,
)
from tests.support.databases import own_database
from tests.support.processes import REPOSITORY

SECOND_WRITE = [] if may_be_shared() else ["before write 2", "after write 2"]


KILLED = """
import os, sys
import django
django.setup()
from providers import keyfile, vault, vault_rotation

step, replace, renew = sys.argv[1], keyfile.replace, vault.under_first_key
count = 0

def killed_at(name):
    if step == name:
        os._exit(9)

def writing(path, text):
    global count
    count += 1
    killed_at(f"before write {count}")
    replace(path, text)
    killed_at(f"after write {count}")

def renewing(ciphertext):
    found = renew(ciphertext)
    killed_at("in the transaction")
    return found

keyfile.replace, vault.under_first_key = writing, renewing
vault_rotation.rotate()
"""
SECRETS = """
import django
django.setup()
from providers.models import Secret
for number in range(3):
    secret = Secret(name=f"key-{number}")
    secret.set_text(f"sk-{number}")
    secret.save()
"""
READ = """
import django
django.setup()
from providers import vault
from providers.models import Secret
rows = Secret.objects.order_by("name")
print(",".join(vault.decrypt(one.ciphertext).text for one in rows))
"""

# Does what it is told on its input, as a process that was started before a rotation.
LIVING = """
import sys
import django
django.setup()
from providers import registry, vault
from providers.models import Secret

def secrets():
    rows = Secret.objects.exclude(ciphertext="").order_by("name")
    return ",".join(vault.decrypt(one.ciphertext).text for one in rows)

for line in sys.stdin:
    name = line.strip()
    if name != "read":
        secret = Secret(name=name)
        secret.set_text("sk-stored-by-" + name)
        secret.save()
    print(secrets(), flush=True)
"""

FORGET = """
import django
django.setup()
from providers.models import Secret
Secret.objects.filter(name__contains="later").delete()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of an installation of its own."""
    place = tmp_path_factory.mktemp("palyra")
    with own_database(place) as url:
        yield {
            **os.environ,
            "PALYRA_DATA_DIR": str(place),
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "palyra_site.settings",
        }


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts Python and leaves it running."""

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="module")
def python(environment: dict[str, str]) -> Callable[..., Any]:
    """Runs Python there to its end; three secrets are stored."""

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert python("manage.py", "migrate").returncode == 0
    made = python("-c", SECRETS)
    assert made.returncode == 0, made.stderr
    return python


@pytest.mark.processes
class TestKilled:
    """Real processes, one of which ends in the middle as a power cut would end it."""

    @pytest.mark.parametrize(
        "step",
        ["before write 1", "after write 1", "in the transaction", *SECOND_WRITE],
    )
    def test_all_is_readable_and_another_rotation_finishes(
        self, python: Callable[..., Any], step: str
    ) -> None:
        assert python("-c", KILLED, step).returncode == 9
        assert python("-c", READ).stdout == "sk-0,sk-1,sk-2\n"
        done = json.loads(python("manage.py", "vault", "rotate", "--json").stdout)
        assert (done["rotated"], done["unreadable"]) == (3, [])
        found = json.loads(python("manage.py", "vault", "status", "--json").stdout)
        assert found["keys"][0]["secrets"] == found["stored"] == 3
        assert python("-c", READ).stdout == "sk-0,sk-1,sk-2\n"

    def test_a_process_that_was_started_before_works_on(
        self, python: Callable[..., Any], start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        with start("-c", LIVING) as living:

            def ask(what: str) -> str:
                assert living.stdin is not None
                assert living.stdout is not None
                living.stdin.write(f"{what}\n")
                living.stdin.flush()
                return living.stdout.readline().strip()

            known = "sk-0,sk-1,sk-2"
            assert ask("read") == known
            assert python("manage.py", "vault", "rotate").returncode == 0
            assert ask("read") == known
            assert ask("later") == f"{known},sk-stored-by-later"
            assert python("manage.py", "vault", "rotate").returncode == 0
            # Without another look at what is stored, it stores what a new process can read.
            assert ask("yet-later") == f"{known},sk-stored-by-later,sk-stored-by-yet-later"
        read = python("-c", READ)
        assert read.stdout == f"{known},sk-stored-by-later,sk-stored-by-yet-later\n"
        python("-c", FORGET)
