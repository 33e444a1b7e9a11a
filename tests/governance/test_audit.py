"""The audit trail: what is recorded, of whom, and that it stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import DatabaseError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from governance import acting, approvals, keys
from governance.acting import Acting
from governance.audit import registry, tracked_models, watching
from governance.audit.difference import LONGEST_TEXT, difference, masked, origin, plain
from governance.models import (
    Alert,
    ApiKey,
    Approval,
    AuditEntry,
    Channel,
    GovernanceSettings,
    Membership,
    PriceTier,
    Team,
)
from governance.models.audit import AppendOnly
from providers import condition
from providers.defaults import make_default
from providers.models import FailoverPolicy, Provider, failover_policy
from scheduling.models import CronJob
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_secret,
    make_team,
    saved,
)

SECRET = "sk-nobody-may-read-this-0123456789"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNA = Acting(actor="anna", user_id=7, surface=acting.CONSOLE, address="192.0.2.1")
# What has pages, and is not what an operator changes.
NOT_TRACKED = {
    "governance.AuditEntry": "The trail itself.",
    "governance.BudgetWindow": "Counted by calls; what raises it is an approval's entry.",
    "governance.ModelCall": "Written by calls; a correction is recorded where it is made.",
    "governance.ProcessHeartbeat": "Processes beat by themselves.",
    "scheduling.CronRun": "Made by the schedule, or by “run now”; the ledger has what it cost.",
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
    return saved(
        Approval(
            team=team, policy=make_policy(team=team), amount=5, reason="more", requested_by=_user()
        )
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
    "auth.User": _user,
    "auth.Group": lambda: Group.objects.create(name="group"),
}
# Values of columns of which the next best one would not be stored.
OTHERS: dict[str, Any] = {
    "ciphertext": "gAAAA-something-else",
    "reference": "",
    "thresholds": [10],
    "expires_at": NOW,
    "decided_at": NOW,
    "call_id": "0190f5fe-7c00-7a00-8000-000000000001",
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
        return NOW
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
        if not one.model._meta.get_field(name).is_relation and name != "reference"
    ]


@pytest.fixture
def anna() -> Any:
    with acting.acting(lambda: ANNA):
        yield


def test_what_has_pages_is_tracked_or_has_a_reason_not_to_be() -> None:
    with_pages = {model._meta.label for model in admin.site._registry}

    assert with_pages - {model._meta.label for model in tracked_models()} == set(NOT_TRACKED)


def test_every_tracked_model_is_in_the_tables() -> None:
    assert {model._meta.label for model in tracked_models()} == set(MAKERS)


@pytest.mark.django_db
@pytest.mark.parametrize(("label", "name"), _columns())
def test_each_column_that_changes_is_an_entry(label: str, name: str, anna: None) -> None:
    row = MAKERS[label]()
    setattr(row, name, _another(row, name))
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
    if label != "governance.Approval":
        row.delete()
        assert AuditEntry.objects.filter(object_id=key, action="deleted").count() == 1

    one_row = apps.get_model(label) in (FailoverPolicy, GovernanceSettings)
    added = AuditEntry.objects.filter(
        object_type=row._meta.label_lower, object_id=key, action="added"
    )
    assert added.count() == (0 if one_row else 1)
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert SECRET not in everything
    assert SECRET[-4:] not in everything
