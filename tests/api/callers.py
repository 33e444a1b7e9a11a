"""Who calls the API in tests: a key, a person signed in, or nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client

from governance import keys
from governance.models import Membership, MembershipRole, Team

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

    Reply = _MonkeyPatchedWSGIResponse
else:
    Reply = HttpResponse

ROOT = "/api/v1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Sends JSON to the API; `path` begins with a slash."""

    client: Client = field(default_factory=Client)
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, query: Any = None) -> Reply:
        """One request; a body given as bytes is sent as it is."""
        content: Any = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        sent: Any = self.client.generic(
            method,
            f"{ROOT}{path}",
            content,
            "application/json",
            headers=self.headers,
            query_params=query,
        )
        reply: Reply = sent
        return reply

    def get(self, path: str, **query: Any) -> Reply:
        return self.send("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Reply:
        return self.send("POST", path, body)

    def patch(self, path: str, body: Any) -> Reply:
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> Reply:
        return self.send("DELETE", path)


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def body_of(reply: Reply) -> dict[str, Any]:
    """The reply's JSON object."""
    body: dict[str, Any] = reply.json()
    return body


def items_of(reply: Reply) -> list[dict[str, Any]]:
    """The rows of a list's page."""
    items: list[dict[str, Any]] = body_of(reply)["items"]
    return items


def holder(key_text: str) -> Caller:
    """An integration with a key."""
    return Caller(headers={"Authorization": f"Bearer {key_text}"})


def key_of(team: Team) -> Caller:
    """An integration with a new key of the team."""
    return holder(keys.create(team=team, name="tests").text)


def signed_in(user: User) -> Caller:
    """A browser with that person's session."""
    client = Client()
    client.force_login(user)
    return Caller(client)


def person(name: str, *permissions: str, staff: bool = False, **fields: Any) -> User:
    """A person, with permissions written as governance.view_team."""
    user = User.objects.create_user(name, is_staff=staff or bool(permissions), **fields)
    for permission in permissions:
        room, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=room, codename=codename)
        )
    return user


def member_of(team: Team, role: str = MembershipRole.MEMBER) -> User:
    """A person of that team."""
    user = person(f"{role}-of-{team.slug}-{User.objects.count()}")
    Membership.objects.create(team=team, user=user, role=role)
    return user
