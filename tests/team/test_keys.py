"""Keys on the team pages: shown once, revoked by who may."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from governance import keys
from governance.models import ApiKey, Team
from tests.team.conftest import People
from tests.team.rows import make_call

# Pages and forms over few plain rows: once is enough.
pytestmark = pytest.mark.any_database
NEW = reverse("team:key-create", args=["blue"])
LIST = reverse("team:keys", args=["blue"])


def _form(**fields: Any) -> dict[str, Any]:
    return {"name": "Importer", "lifetime": "90", "once": str(uuid4()), **fields}


def _shown_key(page: str) -> str:
    found = re.search(r"ply_[0-9a-f]{16}_[0-9a-f]{64}", page)
    assert found
    return found[0]


def test_a_key_is_shown_once_with_a_line_that_works(member: Client, people: People) -> None:
    response = member.post(NEW, _form())
    page = response.content.decode()
    text = _shown_key(page)
    assert "no-store" in response.headers["Cache-Control"]
    assert f"curl {settings.PALYRA_PUBLIC_URL}/v1/chat/completions" in page
    assert f"Authorization: Bearer {text}" in page

    record = ApiKey.objects.get()
    parsed = keys.parse(text)
    assert parsed is not None
    assert parsed.public_id == record.public_id
    assert keys.matches(parsed.secret, record.secret_hash)
    assert record.created_by == people.member

    for again in (LIST, NEW):
        assert parsed.secret not in member.get(again).content.decode()
    assert parsed.secret not in str(dict(member.session))


def test_a_reload_makes_no_second_key_and_shows_none(member: Client, people: People) -> None:
    form = _form()
    secret = _shown_key(member.post(NEW, form).content.decode()).split("_")[2]
    again = member.post(NEW, form, follow=True)
    assert again.redirect_chain == [(LIST, 302)]
    assert "already created and shown" in again.content.decode()
    assert secret not in again.content.decode()
    assert ApiKey.objects.count() == 1


def test_the_form_offers_a_new_submission_each_time(member: Client) -> None:
    pages = [member.get(NEW).content.decode() for _ in range(2)]
    once = [re.search(r'name="once" value="([^"]+)"', page) for page in pages]
    assert all(once)
    assert once[0][1] != once[1][1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"lifetime": "12"}, "lifetime"),
        ({"once": "no"}, "once"),
    ],
)
def test_a_faulty_form_makes_no_key(
    member: Client, people: People, fields: dict[str, str], field: str
) -> None:
    response = member.post(NEW, _form(**fields))
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("lifetime", "days"), [("30", 30), ("90", 90), ("365", 365)])
def test_a_key_expires_when_chosen(member: Client, now: datetime, lifetime: str, days: int) -> None:
    member.post(NEW, _form(lifetime=lifetime))
    expires_at = ApiKey.objects.get().expires_at
    assert expires_at is not None
    assert timedelta() <= expires_at - now - timedelta(days=days) < timedelta(minutes=5)


def test_a_key_may_never_expire(member: Client) -> None:
    member.post(NEW, _form(lifetime="never"))
    assert ApiKey.objects.get().expires_at is None


@pytest.mark.every_database
def test_the_list_tells_of_each_key(
    member: Client, people: People, team: Team, key: ApiKey, now: datetime
) -> None:
    make_call(team=team, api_key=key, admitted_at=now - timedelta(hours=3))
    make_call(team=team, api_key=key, admitted_at=now - timedelta(days=5))
    revoked = keys.create(team=team, name="Old").record
    keys.revoke(revoked)
    shown = member.get(LIST).content.decode()
    assert key.shown in shown
    assert "by manager" in shown
    assert "3 hours ago" in shown
    assert "Revoked" in shown
    assert key.secret_hash not in shown


def test_revoking_names_what_it_does_first(manager: Client, key: ApiKey) -> None:
    where = reverse("team:key-revoke", args=["blue", key.public_id])
    shown = manager.get(where).content.decode()
    assert "Every call with it is refused" in shown
    key.refresh_from_db()
    assert key.revoked_at is None
    response = manager.post(where, follow=True)
    assert "is revoked" in response.content.decode()
    key.refresh_from_db()
    first = key.revoked_at
    assert first is not None
    manager.post(where)
    key.refresh_from_db()
    assert key.revoked_at == first


def test_a_member_revokes_their_own_key_only(
    member: Client, people: People, team: Team, key: ApiKey
) -> None:
    own = keys.create(team=team, name="Mine", created_by=people.member).record
    refused = member.post(reverse("team:key-revoke", args=["blue", key.public_id]))
    assert refused.status_code == 403
    assert "Only a manager" in refused.content.decode()
    member.post(reverse("team:key-revoke", args=["blue", own.public_id]))
    assert ApiKey.objects.get(pk=key.pk).revoked_at is None
    assert ApiKey.objects.get(pk=own.pk).revoked_at is not None
    shown = member.get(LIST).content.decode()
    assert reverse("team:key-revoke", args=["blue", key.public_id]) not in shown
