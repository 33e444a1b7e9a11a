"""An administrator's browser, and data for them to look at."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import Settings

from providers.failures import Failure, FailureClass
from providers.models import Provider
from providers.transport import (
    InboundAnswer,
    Limits,
    OutboundRequest,
    Transport,
    TransportFailed,
)
from tests import keeping
from tests.browser.seed import Seeded, seed
from tests.browser.seed_organisation import keep_alive
from tests.providers.host import KEY, Host, hosting
from tests.support.factories import make_credential, make_remote

# A model whose host says what it costs.
PRICED = {
    "id": "priced",
    "context_length": 200_000,
    "pricing": {"prompt": "0.000001", "completion": "0.000002"},
}


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    """Hashing a password well takes most of a second; none is guessed here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def nobody_elses_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console can ask hosts; no test asks one that is not its own."""
    send = Transport.send

    async def send_nearby(
        self: Transport, request: OutboundRequest, limits: Limits
    ) -> InboundAnswer:
        if urlsplit(request.url).hostname != "127.0.0.1":
            failure = Failure(
                failure_class=FailureClass.NETWORK_UNAVAILABLE, message="It cannot be reached."
            )
            raise TransportFailed(failure)
        return await send(self, request, limits)

    monkeypatch.setattr(Transport, "send", send_nearby)


@pytest.fixture
def administrator(db: None) -> User:
    """Somebody with every permission."""
    return User.objects.create_superuser("root", "root@example.com", "a-long-password-1")


@pytest.fixture
def browser(administrator: User) -> Client:
    """A browser in which the administrator is signed in."""
    return signed_in(administrator)


@pytest.fixture
def seeded(db: None) -> Seeded:
    """Some of everything."""
    seeded = keeping.made_once(_some_of_everything)
    keep_alive()
    return seeded


def _some_of_everything() -> Seeded:
    return seed(calls_made=30)


@pytest.fixture
def host() -> Iterator[Host]:
    """A provider's host that lists two models, one with its price."""
    with hosting("gpt-small", PRICED, key=KEY) as host:
        yield host


@pytest.fixture
def acme(db: None, host: Host) -> Provider:
    """A provider there, with a key that the host takes."""
    provider = make_remote(name="acme", base_url=host.base_url)
    make_credential(provider, KEY)
    return provider


def signed_in(user: User) -> Client:
    """A browser in which `user` is signed in."""
    client = Client()
    client.force_login(user)
    return client


def staff(name: str, *permissions: str) -> User:
    """Somebody who may enter the console, with the permissions named `app.codename`."""
    user = User.objects.create_user(name, is_staff=True)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user
