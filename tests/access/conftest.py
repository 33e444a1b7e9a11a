"""Somebody with a password, and a browser to sign in with."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

PASSWORD = "a long enough one"


@pytest.fixture
def person(db: None) -> User:
    """A member of no team, with a password."""
    return User.objects.create_user("mira", "mira@example.com", PASSWORD)


def sign_in(client: Client, name: str = "mira", password: str = PASSWORD, **more: Any) -> Any:
    """Send the sign-in page's form."""
    return client.post(reverse("account_login"), {"login": name, "password": password, **more})


def is_signed_in(client: Client) -> bool:
    """Whether this browser's session is somebody's."""
    return "_auth_user_id" in client.session


def text(response: Any) -> str:
    """The page's source."""
    return str(response.content.decode())
