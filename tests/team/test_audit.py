"""The team pages in the audit trail."""

from __future__ import annotations

from uuid import uuid4

from django.test import Client
from django.urls import reverse

from governance.models import AuditEntry
from tests.team.conftest import People


def test_what_is_done_on_the_team_pages_is_the_persons(member: Client, people: People) -> None:
    form = {"name": "Importer", "lifetime": "90", "once": str(uuid4())}
    member.post(reverse("team:key-create", args=["blue"]), form)

    entry = AuditEntry.objects.get(object_type="governance.apikey")
    assert (entry.actor, entry.user_id) == (people.member.username, people.member.pk)
    assert (entry.surface, entry.action) == ("team pages", "added")


def test_signing_in_is_no_change(people: People) -> None:
    before = AuditEntry.objects.count()
    Client().force_login(people.member)

    assert AuditEntry.objects.count() == before
