"""The audit trail: what is recorded of each model that operators change, and of whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from governance import acting, approvals, keys
from governance.acting import Acting
from governance.audit import registry, tracked_models
from governance.models import (
    Alert,
    Approval,
    AuditEntry,
    Channel,
    GovernanceSettings,
    Membership,
    PriceTier,
)
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


def approval_to_decide() -> Approval:
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
    "governance.Approval": approval_to_decide,
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
