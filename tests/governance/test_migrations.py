"""What an upgrade makes of budgets and calls that are stored, and what going back leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from governance.models import AuditEntry
from providers.identifiers import new_id

BEFORE = ("governance", "0002_calls_of_every_role")
AFTER = ("governance", "0005_going_back")


def migrate(*targets: tuple[str, str]) -> Any:
    """Migrate as `palyra migrate` does; the models as they are then."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets))
    executor.loader.build_graph()
    return executor.loader.project_state(list(targets)).apps


@pytest.fixture(scope="module")
def in_the_past(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """All of the way back takes as long as a dozen of these tests, so it is gone once."""
    with django_db_blocker.unblock():
        migrate(BEFORE)
    yield
    with django_db_blocker.unblock():
        migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


@pytest.fixture
def before(in_the_past: None, transactional_db: None) -> Any:
    """The models of the version before, with an empty database of theirs."""
    return migrate(BEFORE)


def add_policy(apps: Any, name: str, **fields: Any) -> Any:
    return apps.get_model("governance", "BudgetPolicy").objects.create(
        name=name, **{"scope": "team", "hard_limit": 5} | fields
    )


def add_call(apps: Any, team: Any, **fields: Any) -> Any:
    return apps.get_model("governance", "ModelCall").objects.create(
        id=new_id(),
        team=team,
        surface="openai",
        task_class="primary_interactive",
        requested_model="m",
        provider="p",
        model="m",
        **{"status": "succeeded", "admitted_at": timezone.now()} | fields,
    )


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_keeps_budgets_as_they_were(before: Any) -> None:
    team = before.get_model("governance", "Team").objects.create(slug="blue", name="Blue")
    policy = add_policy(before, "Blue a month", team=team)
    call = add_call(before, team)

    after = migrate(AFTER)
    kept = after.get_model("governance", "BudgetPolicy").objects.get(pk=policy.pk)
    assert (kept.action, kept.rolling, kept.value, kept.routing_mode) == ("block", False, "", "")
    assert kept.thresholds == [50, 75, 90, 100]
    row = after.get_model("governance", "ModelCall").objects.get(pk=call.pk)
    assert (row.session, row.routing_mode, row.overrun) == ("", "suggest", 0)


@pytest.mark.django_db(transaction=True)
def test_going_back_leaves_what_the_version_before_understands(before: Any) -> None:
    after = migrate(AFTER)
    team = after.get_model("governance", "Team").objects.create(slug="blue", name="Blue")
    plain = add_policy(after, "plain")
    add_policy(after, "each key", scope="api_key", team=team)
    add_policy(after, "a minute", interval="minute")
    add_policy(after, "output", metric="output_tokens")
    add_policy(after, "rolling", interval="day", rolling=True)
    after.get_model("governance", "BudgetWindow").objects.create(
        policy=plain, scope_value="1", starts_at=timezone.now()
    )
    after.get_model("governance", "Approval").objects.create(
        team=team, policy=plain, amount=1, reason="asked by a key"
    )
    waiting = add_call(after, team, status="waiting")

    back = migrate(BEFORE)
    names = back.get_model("governance", "BudgetPolicy").objects.values_list("name", flat=True)
    assert list(names) == ["plain"]
    assert back.get_model("governance", "BudgetWindow").objects.count() == 1
    assert not back.get_model("governance", "Approval").objects.exists()
    assert back.get_model("governance", "ModelCall").objects.get(pk=waiting.pk).status == "blocked"


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_sums_up_the_calls_that_were_made(before: Any) -> None:
    team = before.get_model("governance", "Team").objects.create(slug="blue", name="Blue")
    at = timezone.now()
    for cost in (1, 20):
        add_call(before, team, cost=cost, admitted_at=at)
    add_call(before, team, status="in_flight", owner=new_id(), expires_at=at)

    after = migrate(("governance", "0007_backfill_usage"))
    for name, begins in (("UsageHour", "hour"), ("UsageDay", "day")):
        row = after.get_model("governance", name).objects.get()
        assert (row.team_id, row.calls, row.cost) == (team.pk, 2, 21)
        assert getattr(row, begins) <= at


@pytest.mark.django_db(transaction=True)
def test_channels_from_before_go_on_with_alerts_alone(in_the_past: None) -> None:
    before = migrate(("governance", "0010_foreground_first"))
    team = before.get_model("governance", "Team").objects.create(slug="blue", name="Blue")
    kept = before.get_model("governance", "Channel").objects.create(name="kept", team=team)
    before.get_model("governance", "Delivery").objects.create(channel=kept, event="alert.opened")

    after = migrate(("governance", "0011_deliveries_of_runs"))
    channels = after.get_model("governance", "Channel").objects
    assert channels.values_list("format", "purpose").get() == ("standard", "alerts")
    assert after.get_model("governance", "Delivery").objects.get().run_id is None
    chat = channels.create(
        name="chat", format="slack", url="https://hooks.slack.com", team_id=team.pk
    )
    shown = channels.create(name="shown", kind="console")
    after.get_model("governance", "Delivery").objects.create(
        channel=chat, event="run.failed", run_id=new_id(), team_id=team.pk
    )

    back = migrate(("governance", "0010_foreground_first"))
    rows = back.get_model("governance", "Channel").objects.order_by("pk")
    assert list(rows.values_list("pk", "kind", "enabled")) == [
        (kept.pk, "webhook", True),
        (chat.pk, "webhook", False),
        (shown.pk, "webhook", False),
    ]


@pytest.mark.django_db(transaction=True)
def test_the_audit_trail_is_append_only_until_one_goes_back() -> None:
    entries = AuditEntry.objects.filter(actor="somebody")
    with connection.cursor() as cursor:
        migrate(AFTER)
        AuditEntry.objects.create(at=timezone.now(), actor="somebody", action="added")
        cursor.execute("UPDATE governance_auditentry SET action = 'changed'")
        assert entries.get().action == "changed"

        migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())
        with pytest.raises(DatabaseError, match="append-only"):
            cursor.execute("UPDATE governance_auditentry SET action = 'deleted'")

    assert entries.get().action == "changed"
