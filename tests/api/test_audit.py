"""The audit trail in the API, and the API in the audit trail."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient

from governance import keys
from governance.models import AuditEntry, Team
from tests.api.callers import Caller, body_of, items_of, key_of, person, signed_in
from tests.support.factories import make_team


@pytest.fixture
def renamed(team: Team) -> Team:
    """A team that somebody renamed, once it was made."""
    team.name = "Renamed"
    team.save()
    return team


def test_entries_are_told_newest_first(organisation: Caller, renamed: Team) -> None:
    newest, oldest = items_of(
        organisation.get("/audit", object_type="governance.team", object_id=str(renamed.pk))
    )

    assert (newest["action"], oldest["action"]) == ("changed", "added")
    assert newest["changes"] == {"name": ["Demo", "Renamed"]}
    assert (newest["actor"], newest["surface"], newest["user_id"]) == ("system", "system", None)


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ({}, True),
        ({"actor": "system"}, True),
        ({"actor": "nobody"}, False),
        ({"action": "changed"}, True),
        ({"action": "deleted"}, False),
        ({"object_type": "governance.team"}, True),
        ({"object_type": "auth.user"}, False),
        ({"since": "2020-01-01T00:00:00Z"}, True),
        ({"until": "2020-01-01T00:00:00Z"}, False),
    ],
)
def test_they_are_filtered(
    organisation: Caller, renamed: Team, query: dict[str, str], seen: bool
) -> None:
    found = items_of(organisation.get("/audit", **query))

    assert ("Renamed" in {one["object_name"] for one in found}) == seen


def test_they_come_in_pages(organisation: Caller, renamed: Team) -> None:
    first = body_of(organisation.get("/audit", limit=1))
    second = body_of(organisation.get("/audit", limit=1, cursor=first["next_cursor"]))

    assert first["items"][0]["id"] != second["items"][0]["id"]


def test_an_object_needs_its_type(organisation: Caller) -> None:
    assert organisation.get("/audit", object_id="1").status_code == 422


@pytest.mark.parametrize("who", ["member", "key", "staff"])
def test_it_takes_the_permission(team: Team, who: str) -> None:
    callers = {
        "member": lambda: signed_in(person("member")),
        "key": lambda: key_of(team),
        "staff": lambda: signed_in(person("staff", staff=True)),
    }
    assert callers[who]().get("/audit").status_code == 403
    allowed = signed_in(person("allowed", "governance.view_auditentry"))
    assert allowed.get("/audit").status_code == 200


def test_a_persons_call_is_theirs(organisation: Caller, administrator: User) -> None:
    organisation.post("/teams", {"slug": "new", "name": "New"})

    entry = AuditEntry.objects.get(object_type="governance.team", object_name="New")
    assert (entry.actor, entry.user_id) == (administrator.username, administrator.pk)
    assert (entry.surface, entry.address) == ("api", "127.0.0.1")


def test_a_keys_call_is_the_keys(integration: Caller, team: Team) -> None:
    made = integration.post(
        "/jobs", {"name": "job", "cron": "0 9 * * *", "schedule_kind": "cron", "prompt": "Hello"}
    )
    assert made.status_code == 201, made.content

    entry = AuditEntry.objects.get(object_type="scheduling.cronjob")
    key = team.api_keys.get()
    assert (entry.actor, entry.user_id) == (f"API key {key}", None)
    assert (entry.surface, entry.team_id) == ("api", team.pk)


def test_no_key_and_no_secret_is_told(organisation: Caller, team: Team) -> None:
    made = body_of(organisation.post("/keys", {"team": team.slug, "name": "new"}))
    text = next(one for one in made.values() if str(one).startswith("ply_"))

    told = json.dumps(items_of(organisation.get("/audit", limit=200)))
    assert text.rpartition("_")[2] not in told


def test_a_refused_call_leaves_no_entry(organisation: Caller, team: Team) -> None:
    make_team(slug="taken")
    before = AuditEntry.objects.count()

    assert organisation.post("/teams", {"slug": "taken", "name": "Taken"}).status_code >= 400
    assert AuditEntry.objects.count() == before


@pytest.mark.django_db(transaction=True)
async def test_the_server_knows_who_acts_as_well() -> None:
    """There each request is handled on a thread of its own."""
    team = await sync_to_async(make_team)()
    key = await sync_to_async(lambda: keys.create(team=team, name="server"))()
    body = {"name": "job", "cron": "0 9 * * *", "schedule_kind": "cron", "prompt": "Hello"}
    made = await AsyncClient().post(
        "/api/v1/jobs", body, "application/json", headers={"authorization": f"Bearer {key.text}"}
    )
    assert made.status_code == 201, made.content

    entry = await AuditEntry.objects.aget(object_type="scheduling.cronjob")
    assert (entry.actor, entry.surface) == (f"API key {key.record}", "api")
    # The thread behind asynchronous queries keeps its connection, and the database is dropped soon.
    await sync_to_async(connections.close_all)()
