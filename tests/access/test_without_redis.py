"""Signing in while Redis, which messages go through, is away."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from palyra_site.access.settings import OF_AN_ACCOUNT, access_settings
from tests.access.conftest import sign_in, text
from tests.support.processes import eventually


@pytest.fixture
def stop_redis(tmp_path: Path, settings: Settings) -> Iterator[Callable[[], None]]:
    """Ends a real Redis that Palyra is set to use, and that answers until then."""
    socket = tmp_path / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        eventually(socket.exists, bool, what="Redis listens")
        assert redis.Redis.from_url(f"unix://{socket}").ping()
        given = replace(django_settings.CONFIGURATION, redis_url=f"unix://{socket}")
        settings.CACHES = access_settings(given)["CACHES"]
        yield lambda: _end(server)
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()


def test_people_sign_in(client: Client, person: User, stop_redis: Callable[[], None]) -> None:
    stop_redis()
    assert sign_in(client).status_code == 302


def test_failures_are_counted_from_before_to_after(
    client: Client, person: User, stop_redis: Callable[[], None]
) -> None:
    for _ in range(OF_AN_ACCOUNT - 1):
        sign_in(client, password="no")
    stop_redis()
    sign_in(client, password="no")
    assert "Too many attempts failed. Try again in 15 minutes." in text(sign_in(client))
