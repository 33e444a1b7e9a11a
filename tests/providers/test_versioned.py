"""The one number that says whether what a process remembers is still true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from governance.models import (
    ApiKey,
    BudgetPolicy,
    GovernanceSettings,
    Price,
    PriceTier,
    Team,
)
from providers import versioned
from providers.models import (
    Credential,
    FailoverPolicy,
    Provider,
    ProviderModel,
    Secret,
    SnapshotVersion,
    failover_policy,
)
from providers.versioned import Versioned, current_version
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_team,
)

pytestmark = pytest.mark.django_db


def test_everything_that_calls_are_decided_by_is_versioned() -> None:
    registry = {Provider, Credential, ProviderModel, Secret, FailoverPolicy}
    governed = {Team, ApiKey, Price, PriceTier, BudgetPolicy, GovernanceSettings}
    kept = registry | governed
    assert {model for model in Versioned.__subclasses__() if not model._meta.abstract} == kept


def test_the_first_change_is_seen_before_there_is_a_row() -> None:
    SnapshotVersion.objects.all().delete()
    assert current_version() == 0
    make_team()
    assert current_version() == 1
    assert SnapshotVersion.objects.count() == 1


def rename_all() -> int:
    return int(Provider.objects.update(display_name="Another"))


def rename_one() -> None:
    provider = Provider.objects.get(name="first")
    provider.display_name = "Another"
    provider.save(update_fields=["display_name"])


def make_many() -> list[Provider]:
    names = ("third", "fourth")
    return list(
        Provider.objects.bulk_create(Provider(name=name, kind="deterministic") for name in names)
    )


def change_many() -> int:
    providers = list(Provider.objects.all())
    for provider in providers:
        provider.display_name = "Another"
    return int(Provider.objects.bulk_update(providers, ["display_name"]))


WRITES: list[Callable[[], Any]] = [
    rename_one,
    rename_all,
    make_many,
    change_many,
    lambda: Provider.objects.create(name="third", kind="deterministic"),
    lambda: Provider.objects.get_or_create(name="third", kind="deterministic"),
    lambda: Provider.objects.update_or_create(name="first", defaults={"enabled": False}),
    lambda: Provider.objects.get(name="first").delete(),
    lambda: Provider.objects.filter(name="first").delete(),
    lambda: Provider.objects.get(name="first").models.update(enabled=False),
    lambda: Provider.objects.get(name="first").models.all().delete(),
    lambda: make_credential(Provider.objects.get(name="first")),
    lambda: Credential.objects.update(enabled=False),
    lambda: Credential.objects.get().delete(),
    failover_policy,
    lambda: FailoverPolicy.objects.update_or_create(pk=1, defaults={"pinned": True}),
]


@pytest.fixture
def rows() -> None:
    first = make_provider(name="first")
    make_model(provider=first)
    make_credential(first)
    make_provider(name="second")


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("write", WRITES)
def test_every_way_of_writing_counts(write: Callable[[], Any]) -> None:
    before = current_version()
    write()
    assert current_version() > before


@pytest.mark.usefixtures("rows")
def test_reading_does_not_count() -> None:
    before = current_version()
    Provider.objects.get(name="first").refresh_from_db()
    assert list(ProviderModel.objects.select_related("provider"))
    assert current_version() == before


@pytest.mark.usefixtures("rows")
def test_what_is_rolled_back_never_counted() -> None:
    before = current_version()
    with pytest.raises(RuntimeError), transaction.atomic():
        rename_one()
        raise RuntimeError
    assert current_version() == before
    with pytest.raises(IntegrityError), transaction.atomic():
        Provider.objects.create(name="first", kind="deterministic")
    assert current_version() == before


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("write", [rename_one, rename_all, change_many])
def test_writers_of_several_rows_take_the_versions_lock_first(write: Callable[[], Any]) -> None:
    """Or two of them, each with a row the other wants, would wait for each other in a circle."""
    with CaptureQueriesContext(connection) as queries:
        write()
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert "snapshotversion" in updates[0]
    assert any("providers_provider" in update for update in updates[1:])


def test_a_manager_cannot_empty_a_table() -> None:
    assert not hasattr(Provider.objects, "delete")
    assert not hasattr(make_provider().models, "delete")


def test_a_template_cannot_write() -> None:
    found = Provider.objects.all()
    methods: list[Any] = [found.delete, found.update, found.bulk_create]
    methods += [Provider.save, Provider.delete]
    assert all(method.alters_data for method in methods)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    versions: list[int] = []

    def listen() -> None:
        versions.append(current_version())

    versioned.on_change(listen)
    versioned.on_change(listen)
    yield versions
    versioned.forget(listen)
    versioned.forget(listen)


@pytest.mark.django_db(transaction=True)
def test_listeners_hear_of_a_change_once_it_is_committed(heard: list[int]) -> None:
    with transaction.atomic():
        provider = make_provider()
        assert heard == []
    assert heard == [current_version()]

    with pytest.raises(RuntimeError), transaction.atomic():
        provider.delete()
        raise RuntimeError
    assert len(heard) == 1

    Provider.objects.get().delete()
    assert heard[1:] == [current_version()]


@pytest.mark.django_db(transaction=True)
def test_who_was_forgotten_hears_nothing() -> None:
    heard: list[int] = []

    def listen() -> None:
        heard.append(1)

    versioned.on_change(listen)
    versioned.forget(listen)
    make_price(make_model())
    make_policy()
    assert heard == []
