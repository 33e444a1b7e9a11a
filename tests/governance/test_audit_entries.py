"""The audit trail: what is written past the rows, how a difference is told, and that it stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction

from governance import acting, approvals, keys
from governance.acting import Acting
from governance.audit import record, watching
from governance.audit.difference import LONGEST_TEXT, difference, masked, origin, plain
from governance.models import (
    AuditEntry,
    Channel,
    Team,
)
from governance.models.audit import AppendOnly
from providers import condition, vault_rotation
from providers.defaults import make_default
from providers.identifiers import new_id
from tests.governance.test_audit import ANNA, NOW, SECRET, approval_to_decide, entries, of
from tests.support.factories import (
    make_model,
    make_provider,
    make_secret,
    make_team,
)


@pytest.fixture
def anna() -> Any:
    """What is done is hers."""
    with acting.acting(lambda: ANNA):
        yield


@pytest.mark.django_db
def test_bulk_writes_are_recorded_row_by_row() -> None:
    teams = Team.objects.bulk_create([Team(slug=name, name=name) for name in ("one", "two")])
    Team.objects.filter(pk__in=[one.pk for one in teams]).update(enabled=False)
    teams[0].name = "first"
    Team.objects.bulk_update(teams, ["name"])

    assert [one.changes for one in of(teams[0])[1:]] == [
        {"enabled": [True, False]},
        {"name": ["one", "first"]},
    ]
    assert [one.changes for one in of(teams[1])[1:]] == [{"enabled": [True, False]}]


@pytest.mark.django_db
def test_other_bulk_writes_are_recorded_where_they_are_watched() -> None:
    channel = Channel.objects.create(name="chat", url=f"https://h/{SECRET}")
    rows = Channel.objects.filter(pk=channel.pk)
    with watching(rows, ["enabled"]):
        rows.update(enabled=False)
    with watching(rows):
        rows.update(url="https://h/another")

    assert [one.changes for one in of(channel)[1:]] == [
        {"enabled": [True, False]},
        {"url": ["https://h/••••", "https://h/•••• (another)"]},
    ]


@pytest.mark.django_db
def test_only_the_first_who_revokes_a_key_did_it() -> None:
    key = keys.create(team=make_team(), name="key").record

    assert keys.revoke(key)
    assert not keys.revoke(key)

    assert [list(one.changes) for one in of(key)[1:]] == [["revoked_at"]]


@pytest.mark.django_db
def test_what_no_row_says_is_recorded_in_words(anna: None) -> None:
    team = make_team(name="Research")
    entry = record("corrected", team, {"cost": ["$1", "$2"]}, reason="Told by the invoice.")

    assert AuditEntry.objects.get(pk=entry.pk).reason == "Told by the invoice."
    assert str(entry) == "anna: corrected Research"


@pytest.mark.django_db
def test_the_default_changes_in_two_entries() -> None:
    provider = make_provider()
    old, new = make_model(provider=provider, is_default=True), make_model(provider=provider)
    make_default(new)

    assert of(old)[-1].changes == {"is_default": [True, False]}
    assert of(new)[-1].changes == {"is_default": [False, True]}


@pytest.mark.django_db
def test_a_decision_is_recorded() -> None:
    approval = approval_to_decide()
    decider = User.objects.create_superuser("decider")
    approvals.decide(
        approval_id=approval.pk, decided_by=decider, approve=False, comment="No.", now=NOW
    )

    assert of(approval)[-1].changes == {
        "status": ["pending", "denied"],
        "decided_by": [None, f"decider ({decider.pk})"],
        "decided_at": [None, NOW.isoformat()],
        "comment": ["", "No."],
    }


@pytest.mark.django_db
def test_levers_of_breakers_are_recorded_of_the_provider(anna: None) -> None:
    provider = make_provider()
    condition.trip(provider, by="anna")
    condition.reset(provider)

    assert [(one.action, one.changes, one.actor) for one in of(provider)[1:]] == [
        ("tripped", {"breakers": [[], ["Open"]]}, "anna"),
        ("reset", {"breakers": [["Open"], ["Closed"]]}, "anna"),
    ]


@pytest.mark.django_db
def test_a_rotation_is_one_entry_and_changes_no_secret() -> None:
    secret = make_secret(SECRET)
    vault_rotation.rotate()

    assert [one.action for one in of(secret)] == ["added"]
    entry = entries()[-1]
    assert (entry.action, entry.object_name) == ("vault rotated", "vault")
    assert entry.changes["secrets encrypted anew"] == [None, 1]
    secret.refresh_from_db()
    secret.set_text("sk-another-text-of-the-same-secret")
    secret.save()
    assert of(secret)[-1].changes["ciphertext"] == ["••••", "•••• (another)"]


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_leaves_no_entry() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        make_team()
        raise RuntimeError

    assert entries() == []


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_recorded_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("governance.audit.noticing.record_difference", fail)
    with pytest.raises(RuntimeError):
        Group.objects.create(name="group")

    assert not Group.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE governance_auditentry SET actor = 'nobody'",
        "DELETE FROM governance_auditentry",
    ],
)
def test_the_database_refuses_to_change_the_trail(statement: str) -> None:
    make_team()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert len(entries()) == 1


@pytest.mark.django_db
def test_the_model_refuses_as_well() -> None:
    make_team()
    entry = entries()[0]
    for refused in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        AuditEntry.objects.update,
    ):
        with pytest.raises(AppendOnly):
            refused()


@pytest.mark.django_db
def test_the_people_an_entry_names_may_go(anna: None) -> None:
    user = User.objects.create_user("eve", password=SECRET)
    with acting.acting(lambda: Acting(actor="eve", user_id=user.pk, surface=acting.API)):
        team = make_team()
    user.delete()

    assert of(team)[0].user_id is not None


TABLE: list[tuple[Any, Any, Any]] = [
    ({}, {}, {}),
    ({"a": 1}, {"a": 1}, {}),
    ({"a": 1}, {"a": 2}, {"a": [1, 2]}),
    ({}, {"a": None}, {}),
    ({"a": ""}, {"a": None}, {}),
    ({"a": "x"}, {}, {"a": ["x", None]}),
    ({"a": [1]}, {"a": [2]}, {"a": [[1], [2]]}),
    ({"a": False}, {"a": True}, {"a": [False, True]}),
    ({"a": 0}, {"a": None}, {"a": [0, None]}),
    ({"s": "one"}, {"s": "two"}, {"s": ["••••", "•••• (another)"]}),
    ({"s": ""}, {"s": "two"}, {"s": ["", "••••"]}),
    ({"s": "one"}, {"s": ""}, {"s": ["••••", ""]}),
    ({"u": "https://a:b@h:8/p?q"}, {"u": ""}, {"u": ["https://h:8/••••", ""]}),
    ({"u": "https://h:port/"}, {}, {"u": ["••••", None]}),
]


@pytest.mark.parametrize(("before", "after", "changes"), TABLE)
def test_differences(before: Any, after: Any, changes: Any) -> None:
    assert difference(before, after, {"s": masked, "u": origin}) == changes


def test_long_texts_are_told_apart_by_their_digest() -> None:
    one, two = "x" * LONGEST_TEXT + "1", "x" * LONGEST_TEXT + "2"

    before, after = difference({"a": one}, {"a": two}, {})["a"]

    assert before != after
    assert len(before) < LONGEST_TEXT + 120


def test_any_value_is_written_as_json_has_it() -> None:
    value = {"at": NOW, "id": new_id(), "of": ("a", 1.5, None)}

    assert json.loads(json.dumps(plain(value)))["at"] == NOW.isoformat()
