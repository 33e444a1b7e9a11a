"""The audit trail: what is recorded, of whom, and that it stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import DatabaseError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from governance import acting, approvals, keys
from governance.acting import Acting
from governance.audit import record, registry, tracked_models, watching
from governance.audit.difference import LONGEST_TEXT, difference, masked, origin, plain
from governance.models import (
    Alert,
    Approval,
    AuditEntry,
    Channel,
    GovernanceSettings,
    Membership,
    PriceTier,
    Team,
)
from governance.models.audit import AppendOnly
from providers import condition, vault_rotation
from providers.defaults import make_default
from providers.identifiers import new_id
from providers.models import FailoverPolicy, failover_policy
from scheduling.models import CronJob, ExclusionCalendar, MaintenanceJob, RunDelivery
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_secret,
    make_team,
)

# Its end is in no identifier, which has the digits of hexadecimal numbers only.
SECRET = "sk-nobody-may-read-this-01234-wxyz"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNA = Acting(actor="anna", user_id=7, surface=acting.CONSOLE, address="192.0.2.1")
# Everything else that is stored, and why no entry tells of it.
NOT_TRACKED = {
    "auth.Permission": "Made by migrations.",
    "governance.AuditEntry": "The trail itself.",
    "governance.BudgetWindow": "Counted by calls; what raises it is an approval's entry.",
    "governance.CallText": "A call's own prompt and answer; each reading of them is recorded.",
    "governance.Delivery": "Sent, and tried again, by the system.",
    "governance.KeptCall": "A call's own request and answer.",
    "governance.LatencyHour": "Counted by calls.",
    "governance.ModelCall": "Written by calls; a correction is recorded where it is made.",
    "governance.Preferences": "What a person is shown; nobody else is concerned.",
    "governance.ProcessHeartbeat": "Processes beat by themselves.",
    "governance.ProviderLease": "Taken and given back by calls.",
    "governance.UsageDay": "Counted by calls.",
    "governance.UsageHour": "Counted by calls.",
    "governance.UsageSession": "Counted by calls.",
    "providers.Breaker": "Trips by itself; what operators do with it is recorded of its provider.",
    "providers.DiscoveryListing": "What a host said; what is taken over of it is recorded.",
    "providers.ProviderMetric": "Counted by attempts.",
    "providers.ProviderProbe": "Looked at by the system.",
    "providers.SnapshotVersion": "Counts changes, and tells of none.",
    "scheduling.CronRun": "Made by the schedule or by “run now”, and kept with what became of it.",
}


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("at", "id"))


def of(row: models.Model) -> list[AuditEntry]:
    return [
        one
        for one in entries()
        if (one.object_type, one.object_id) == (row._meta.label_lower, str(row.pk))
    ]


def _user(name: str = "eve") -> User:
    return User.objects.create_user(name, password=SECRET)


def _approval() -> Approval:
    team = make_team()
    return approvals.request_more(
        team=team,
        policy=make_policy(team=team),
        amount=5,
        reason="more",
        requested_by=_user(),
        now=NOW,
    )


def _alert() -> Alert:
    return Alert.objects.create(first_seen_at=NOW, last_seen_at=NOW, key="one", title="One")


def _job() -> CronJob:
    return CronJob.objects.create(
        team=make_team(), name="job", cron="0 9 * * *", prompt="Hello", anchor_at=NOW
    )


# One of each tracked model.
MAKERS: dict[str, Callable[[], models.Model]] = {
    "providers.Provider": make_provider,
    "providers.ProviderModel": make_model,
    "providers.Credential": lambda: make_credential(make_provider(), SECRET),
    "providers.FailoverPolicy": failover_policy,
    "providers.Secret": lambda: make_secret(SECRET),
    "governance.Team": make_team,
    "governance.Membership": lambda: Membership.objects.create(team=make_team(), user=_user()),
    "governance.ApiKey": lambda: keys.create(team=make_team(), name="key").record,
    "governance.Price": lambda: make_price(make_model()),
    "governance.PriceTier": lambda: PriceTier.objects.create(
        price=make_price(make_model()), above=1000, uncached_input=1, output=1
    ),
    "governance.BudgetPolicy": make_policy,
    "governance.Approval": _approval,
    "governance.GovernanceSettings": GovernanceSettings.objects.create,
    "governance.Channel": lambda: Channel.objects.create(name="chat", url=f"https://h/{SECRET}"),
    "governance.Alert": _alert,
    "scheduling.CronJob": _job,
    "scheduling.RunDelivery": lambda: RunDelivery.objects.create(
        job=_job(), channel=Channel.objects.create(name="chat"), on="failure"
    ),
    "scheduling.ExclusionCalendar": lambda: ExclusionCalendar.objects.create(
        name="holidays", dates=["2030-12-25"]
    ),
    "scheduling.MaintenanceJob": lambda: MaintenanceJob.objects.create(
        name="alerts", every_seconds=15
    ),
    "auth.User": _user,
    "auth.Group": lambda: Group.objects.create(name="group"),
}
# Values of columns of which the next best one would not be stored.
OTHERS: dict[str, Any] = {"thresholds": [10], "call_id": new_id()}
# What has to change together with a column.
TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("providers.Provider", "kind"): {"kind": "anthropic", "base_url": "https://example.com"},
    ("governance.BudgetPolicy", "value"): {"scope": "user", "value": "7"},
    ("providers.Secret", "reference"): {"reference": "env:ELSEWHERE", "ciphertext": ""},
    ("governance.Approval", "until"): {"until": "date", "expires_at": NOW},
}


def _another(row: models.Model, name: str) -> Any:
    """Another value of the column, which a database takes."""
    column: Any = row._meta.get_field(name)
    value = getattr(row, column.attname)
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(column, models.BooleanField):
        return not value
    if isinstance(column, models.DateTimeField):
        return NOW + timedelta(days=1)
    if isinstance(column, models.JSONField):
        return ["x"]
    if isinstance(column, models.FloatField | models.IntegerField):
        return (value or 0) + 1
    return f"{value}x"[-column.max_length :] if column.max_length else f"{value}x"


def _columns() -> list[tuple[str, str]]:
    """Every tracked column that refers to nothing and can be changed on its own."""
    return [
        (one.model._meta.label, name)
        for one in registry.registered.values()
        for name in one.fields
        if not one.model._meta.get_field(name).is_relation
    ]


@pytest.fixture
def anna() -> Any:
    with acting.acting(lambda: ANNA):
        yield


def test_every_model_is_tracked_or_has_a_reason_not_to_be() -> None:
    rooms = ("auth", "providers", "governance", "scheduling")
    stored = {one._meta.label for room in rooms for one in apps.get_app_config(room).get_models()}
    with_pages = {model._meta.label for model in admin.site._registry}
    tracked = {model._meta.label for model in tracked_models()}

    assert with_pages <= stored
    assert stored - tracked == set(NOT_TRACKED)


def test_every_tracked_model_is_in_the_tables() -> None:
    assert {model._meta.label for model in tracked_models()} == set(MAKERS)


@pytest.mark.django_db
@pytest.mark.parametrize(("label", "name"), _columns())
def test_each_column_that_changes_is_an_entry(label: str, name: str, anna: None) -> None:
    row = MAKERS[label]()
    for column, value in TOGETHER.get((label, name), {name: _another(row, name)}).items():
        setattr(row, column, value)
    models.Model.save(row)

    entry = of(row)[-1]

    assert entry.action == "changed"
    assert name in entry.changes
    before, after = entry.changes[name]
    assert before != after
    assert (entry.actor, entry.user_id, entry.surface) == ("anna", 7, "console")
    assert entry.address == "192.0.2.1"


@pytest.mark.django_db
@pytest.mark.parametrize("label", sorted(MAKERS))
def test_adding_and_deleting_are_entries_and_no_secret_is_in_any(label: str, anna: None) -> None:
    row = MAKERS[label]()
    key = str(row.pk)
    row.delete()

    one_row = apps.get_model(label) in (FailoverPolicy, GovernanceSettings)
    theirs = AuditEntry.objects.filter(object_type=row._meta.label_lower, object_id=key)
    assert theirs.filter(action="added").count() == (0 if one_row else 1)
    assert theirs.filter(action="deleted").count() == 1
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert SECRET not in everything
    assert SECRET[-4:] not in everything


@pytest.mark.django_db
def test_references_are_named() -> None:
    old, new = make_team(name="Old"), make_team(name="New")
    membership = Membership.objects.create(team=old, user=_user())
    membership.team = new
    membership.save()

    entry = of(membership)[-1]

    assert entry.changes == {"team": [f"Old ({old.pk})", f"New ({new.pk})"]}
    assert entry.team_id == new.pk


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("metric", "before", "after"), [("cost", "$10", "$0.0000125"), ("tokens", 10**10, 12_500)]
)
def test_limits_are_told_in_their_metric(metric: str, before: Any, after: Any) -> None:
    policy = make_policy(metric=metric)
    policy.hard_limit = 12_500
    policy.save()

    assert of(policy)[-1].changes == {"hard_limit": [before, after]}


@pytest.mark.django_db
def test_what_stays_the_same_is_no_entry(anna: None) -> None:
    team, user = make_team(), _user()
    before = len(entries())
    team.save()
    user.last_login = NOW
    user.save(update_fields=["last_login"])
    CronJob.objects.filter(pk=_job().pk).update(next_slot=NOW, last_error="broken")
    Alert.objects.update(count=2)
    with acting.acting(lambda: Acting(actor="system", surface=acting.SYSTEM)):
        alert = _alert()
        alert.resolved_at = NOW
        alert.save()
        failover_policy()

    assert {one.object_type for one in entries()[before:]} <= {
        "governance.team",
        "scheduling.cronjob",
    }
    assert all(one.action == "added" for one in entries()[before:])


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["person", "group"])
def test_lists_are_recorded_from_either_end(end: str) -> None:
    user, group = _user(), Group.objects.create(name="lookers")
    if end == "person":
        user.groups.add(group)
        user.groups.clear()
    else:
        group.user_set.add(user)
        group.user_set.remove(user)

    assert [one.changes for one in of(user)[1:]] == [
        {"groups": [[], ["lookers"]]},
        {"groups": [["lookers"], []]},
    ]


@pytest.mark.django_db
def test_permissions_given_are_recorded() -> None:
    group = Group.objects.create(name="lookers")
    given = Permission.objects.get(codename="view_team")
    group.permissions.set([given])

    assert of(group)[-1].changes == {"permissions": [[], [str(given)]]}


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
    approval = _approval()
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
    user = _user()
    with acting.acting(lambda: Acting(actor="eve", user_id=user.pk, surface=acting.API)):
        team = make_team()
    user.delete()

    assert of(team)[0].user_id is not None


@pytest.mark.django_db
def test_a_change_costs_three_queries_more() -> None:
    group = Group.objects.create(name="group")
    group.name = "another"
    with CaptureQueriesContext(connection) as captured:
        group.save()

    statements = [one["sql"] for one in captured if not one["sql"].startswith(("SAVE", "RELEASE"))]
    assert len(statements) == 4
    with CaptureQueriesContext(connection) as captured:
        User(pk=1).save(update_fields=[])
    assert not captured.captured_queries


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
