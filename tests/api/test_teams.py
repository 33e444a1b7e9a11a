"""Teams and keys through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, MembershipRole, Team
from tests.api.callers import (
    Caller,
    body_of,
    holder,
    items_of,
    key_of,
    member_of,
    person,
    signed_in,
)
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults

pytestmark = pytest.mark.django_db


def test_a_team_is_added(organisation: Caller) -> None:
    response = organisation.post("/teams", {"slug": "new", "name": "New", "zone": "Europe/Prague"})
    assert response.status_code == 201
    body = body_of(response)
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "slug": "new",
        "name": "New",
        "zone": "Europe/Prague",
        "enabled": True,
        "allowed_models": [],
        "routing_mode": "",
        "text_days": 0,
    }
    assert Team.objects.get().slug == "new"


def test_a_team_is_changed(organisation: Caller, team: Team) -> None:
    models = ["house/*", "openai/gpt-4.1"]
    wanted = {"allowed_models": models, "routing_mode": "enforced", "text_days": 30}
    changed = body_of(organisation.patch("/teams/demo", wanted))
    assert changed.items() >= wanted.items()
    team.refresh_from_db()
    assert (team.allowed_models, team.routing_mode) == (wanted["allowed_models"], "enforced")
    assert body_of(organisation.patch("/teams/demo", {"name": "Renamed"}))["name"] == "Renamed"
    assert items_of(organisation.get("/teams"))[0].items() >= wanted.items()


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"allowed_models": ["gpt-4.1"]}, {"allowed_models"}),
        ({"text_days": -1}, {"text_days"}),
        ({"text_days": 3651}, {"text_days"}),
        ({"allowed_models": ["*"]}, {"allowed_models"}),
        ({"allowed_models": ["house/"]}, {"allowed_models"}),
        ({"allowed_models": [" house/*"]}, {"allowed_models"}),
        ({"allowed_models": ["a/b", "a/b"]}, {"allowed_models"}),
        ({"allowed_models": [f"a/{'b' * 254}"]}, {"allowed_models"}),
        ({"allowed_models": [f"a/{n}" for n in range(101)]}, {"allowed_models"}),
        (
            {"allowed_models": ["x"], "routing_mode": "loud", "zone": "Mars", "name": ""},
            {"allowed_models", "routing_mode", "zone", "name"},
        ),
        ({"slug": "other"}, {"slug"}),
    ],
)
def test_a_bad_change_of_a_team_stores_nothing(
    organisation: Caller, team: Team, nothing_stored: NothingStored, changes: Any, fields: set[str]
) -> None:
    with nothing_stored():
        assert faults(organisation.patch("/teams/demo", changes)).keys() == fields


def test_a_key_has_a_routing_mode_and_is_changed(team: Team) -> None:
    member = member_of(team)
    caller = signed_in(member)
    made = body_of(caller.post("/keys", {"name": "billing", "routing_mode": "suggest"}))
    assert made["routing_mode"] == "suggest"
    path = f"/keys/{made['id']}"
    changed = body_of(caller.patch(path, {"name": " Billing ", "routing_mode": "dry_run"}))
    assert (changed["name"], changed["routing_mode"]) == ("Billing", "dry_run")
    found = faults(caller.patch(path, {"name": " ", "routing_mode": "loud"}))
    assert found.keys() == {"name", "routing_mode"}
    assert_problem(holder(made["key"]).patch(path, {"routing_mode": ""}), 403)
    assert_problem(signed_in(member_of(team)).patch(path, {"routing_mode": ""}), 403)
    assert ApiKey.objects.get().routing_mode == "dry_run"


def test_a_slug_is_taken_once(
    organisation: Caller, team: Team, nothing_stored: NothingStored
) -> None:
    with nothing_stored():
        found = faults(organisation.post("/teams", {"slug": team.slug, "name": "Again"}))
    assert found.keys() == {"slug"}


def test_a_key_is_made_and_shown_once(team: Team) -> None:
    caller = signed_in(member_of(team))
    expires_at = timezone.now() + timedelta(days=30)
    response = caller.post("/keys", {"name": "billing", "expires_at": expires_at.isoformat()})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    made = body_of(response)
    key = ApiKey.objects.get()
    assert made["key"].startswith(f"ply_{key.public_id}_")
    assert (made["id"], made["team"], made["name"]) == (key.public_id, "demo", "billing")
    assert made["created_by"] == str(key.created_by)
    assert key.expires_at == expires_at
    assert holder(made["key"]).get("/teams").status_code == 200

    listed = caller.get("/keys").content.decode()
    assert key.public_id in listed
    assert made["key"] not in listed
    assert key.secret_hash not in listed


def test_a_key_makes_no_key(integration: Caller, team: Team, nothing_stored: NothingStored) -> None:
    with nothing_stored():
        problem = assert_problem(integration.post("/keys", {"name": "another"}), 403)
    assert "sign in" in problem["detail"]


def test_staff_without_the_permission_make_no_key(
    team: Team, nothing_stored: NothingStored
) -> None:
    caller = signed_in(person("viewer", "governance.view_apikey"))
    with nothing_stored():
        assert_problem(caller.post("/keys", {"team": "demo", "name": "another"}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00"}, "expires_at"),
    ],
)
def test_a_bad_key_stores_nothing(
    organisation: Caller, team: Team, nothing_stored: NothingStored, body: Any, field: str
) -> None:
    with nothing_stored():
        assert faults(organisation.post("/keys", {"team": "demo", **body})).keys() == {field}


def test_who_acts_for_no_team_is_told_so(nothing_stored: NothingStored) -> None:
    outsider = signed_in(person("outsider"))
    with nothing_stored():
        found = faults(outsider.post("/keys", {"name": "x"}))
    assert "not a member of any team" in found["team"]


def test_a_key_is_revoked_and_stays_listed(organisation: Caller, team: Team) -> None:
    new = keys.create(team=team, name="one")
    response = organisation.delete(f"/keys/{new.record.public_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(holder(new.text).get("/teams"), 401)
    assert organisation.delete(f"/keys/{new.record.public_id}").status_code == 204
    (listed,) = items_of(organisation.get("/keys"))
    assert listed["revoked_at"].endswith("Z")


def revokes(caller: Caller, key: ApiKey) -> bool:
    status = caller.delete(f"/keys/{key.public_id}").status_code
    assert status in {204, 403}
    key.refresh_from_db()
    assert (key.revoked_at is not None) == (status == 204)
    return status == 204


def test_a_member_revokes_their_own_key_only(team: Team) -> None:
    member = member_of(team)
    own = keys.create(team=team, name="own", created_by=member).record
    others = keys.create(team=team, name="other's").record
    assert revokes(signed_in(member), own)
    assert not revokes(signed_in(member), others)
    assert revokes(signed_in(member_of(team, MembershipRole.MANAGER)), others)


def test_a_key_revokes_itself_and_no_other(team: Team) -> None:
    new = keys.create(team=team, name="one")
    assert not revokes(key_of(team), new.record)
    assert revokes(holder(new.text), new.record)


def test_keys_take_few_queries(organisation: Caller, django_assert_max_num_queries: Any) -> None:
    people = [User.objects.create_user(f"person-{number}") for number in range(5)]
    for number, maker in enumerate(people):
        new = Team.objects.create(slug=f"team-{number}", name="Team")
        keys.create(team=new, name="key", created_by=maker)
    with django_assert_max_num_queries(3):
        assert len(items_of(organisation.get("/keys"))) == 5
