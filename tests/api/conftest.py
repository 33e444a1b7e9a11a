"""The callers every test of the API may want."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.apps import apps
from django.contrib.auth.models import User

from governance.models import Team
from tests.api.callers import Caller, key_of, signed_in
from tests.support.factories import make_team

# Makes a block that must store nothing.
NothingStored = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.create_superuser("administrator")


@pytest.fixture
def organisation(administrator: User) -> Caller:
    """A superuser's session."""
    return signed_in(administrator)


@pytest.fixture
def team(db: None) -> Team:
    return make_team(slug="demo", name="Demo")


@pytest.fixture
def integration(team: Team) -> Caller:
    """A key of the team `demo`."""
    return key_of(team)


@pytest.fixture
def nothing_stored(db: None) -> NothingStored:
    """A block that must leave the number of rows in every table of Palyra as it was."""

    def counts() -> dict[str, int]:
        return {
            model._meta.label: model._default_manager.count()
            for room in ("providers", "governance", "scheduling", "django_q")
            for model in apps.get_app_config(room).get_models()
        }

    @contextmanager
    def block() -> Iterator[None]:
        before = counts()
        yield
        assert counts() == before

    return block
