"""What a process knows without asking, and how soon it learns of a change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from governance import keys, snapshot
from governance.budgets import Subject
from governance.calls.planning import plan
from governance.calls.request import Caller, CallRequest
from governance.models import Team
from governance.snapshot import POLL_SECONDS, Snapshot, SnapshotKeeper
from providers import versioned
from providers.breakers import BreakerBoard
from providers.identifiers import new_id
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_remote,
    make_team,
    make_tier,
)

PATIENCE = 30.0
PROMISED = 1.0


@pytest.mark.django_db
class TestLoad:
    def test_an_empty_installation_is_an_empty_snapshot(self) -> None:
        found = snapshot.load()
        assert (found.registry.models, found.keys, found.policies, found.prices) == ((), {}, (), {})

    def test_it_holds_all_that_decides_a_call(self) -> None:
        team = make_team(slug="blue")
        tomorrow = timezone.now() + timedelta(days=1)
        made = keys.create(team=team, name="key", expires_at=tomorrow).record
        model = make_model(name="nice")
        later = make_price(model, effective_from=timezone.now(), cache_read=5, per_request=7)
        first = make_price(model)
        policy = make_policy(team=team, soft_limit=5, hard_limit=10, zone="Europe/Prague")
        disabled = make_policy(enabled=False)

        found = snapshot.load()
        assert found.version == versioned.current_version()
        assert [entry.name for entry in found.registry.models] == ["nice"]
        entry = found.keys[made.public_id]
        assert (entry.id, entry.team_id, entry.team_slug) == (made.pk, team.pk, "blue")
        assert (entry.secret_hash, entry.expires_at) == (made.secret_hash, tomorrow)
        assert (entry.team_enabled, entry.revoked) == (True, False)
        assert [price.id for price in found.prices[model.pk]] == [first.pk, later.pk]
        dearer = found.prices[model.pk][1]
        assert (dearer.uncached_input, dearer.output) == (later.uncached_input, later.output)
        assert (dearer.cache_read, dearer.cache_write_5m, dearer.per_request) == (5, None, 7)
        ours, other = found.policies
        assert (ours.id, ours.team_id, ours.zone) == (policy.pk, team.pk, "Europe/Prague")
        assert (ours.soft_limit, ours.hard_limit, ours.enabled) == (5, 10, True)
        assert (other.id, other.enabled) == (disabled.pk, False)

    def test_a_price_has_its_tiers(self) -> None:
        price = make_price(make_model())
        high, low = make_tier(price, above=400_000), make_tier(price, cache_read=5)
        (entry,) = snapshot.load().prices[price.model_id]
        assert [tier.above for tier in entry.tiers] == [low.above, high.above]
        assert (entry.tiers[0].uncached_input, entry.tiers[0].output) == (2 * 10**9, 4 * 10**9)
        assert (entry.tiers[0].cache_read, entry.tiers[0].cache_write_5m) == (5, None)

    def test_a_revoked_key_and_a_disabled_team_are_known_as_such(self) -> None:
        team = make_team(enabled=False)
        record = keys.create(team=team, name="key").record
        keys.revoke(record)
        entry = snapshot.load().keys[record.public_id]
        assert (entry.revoked, entry.team_enabled) == (True, False)

    def test_a_team_is_counted_by_its_own_policies_and_everyones(self) -> None:
        blue, red = make_team(), make_team()
        everyone, own = make_policy(scope="global"), make_policy(team=blue)
        each, _others = make_policy(), make_policy(team=red)
        subject = Subject(team_id=blue.pk, call_id=new_id())
        found = [policy.id for policy in snapshot.load().policies if policy.counts(subject)]
        assert found == [everyone.pk, own.pk, each.pk]

    def test_the_number_of_queries_does_not_grow(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        for _ in range(4):
            make_tier(make_price(make_model(provider=make_provider())))
            keys.create(team=make_team(), name="key")
            make_policy()
        with django_assert_num_queries(11):
            assert len(snapshot.load().keys) == 4

    def test_deciding_a_call_asks_the_database_nothing(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        provider = make_remote()
        make_credential(provider)
        make_price(make_model(provider=provider, is_default=True))
        team = make_team()
        make_policy(team=team)
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
        request = CallRequest(caller=Caller(team_id=team.pk, surface="openai"), body=body)
        found = snapshot.load()
        breakers = BreakerBoard()

        with django_assert_num_queries(0):
            decided = plan(request, found, timezone.now())
            chosen = decided.route.chosen.model.provider
            usable, _ = breakers.usable(chosen, timezone.now())
            assert [one.secret.text for one in usable if one and one.secret]
            counting = decided.subject(decided.route.chosen)
            assert sum(policy.counts(counting) for policy in found.policies) == 1


class WatchedKeeper(SnapshotKeeper):
    """Says whenever it has looked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Semaphore(0)

    def _look(self) -> bool:
        result = super()._look()
        self.looked.release()
        return result

    def await_that(self, condition: Callable[[Snapshot], bool]) -> None:
        """Look on until the snapshot is so."""
        while not condition(self.current):
            assert self.looked.acquire(timeout=PATIENCE), "the keeper does not look any more"


@pytest.fixture
def keeper(transactional_db: None) -> Iterator[WatchedKeeper]:
    made = WatchedKeeper()
    made.start()
    yield made
    made.stop()


def elsewhere(change: Callable[[], Any]) -> None:
    """Make `change` on a thread and a connection of its own."""

    def run() -> None:
        try:
            change()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def test_nothing_is_known_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="before the keeper was started"):
        _ = SnapshotKeeper().current


@pytest.mark.django_db(transaction=True)
def test_the_first_snapshot_is_there_at_once() -> None:
    make_model(name="nice")
    keeper = SnapshotKeeper()
    keeper.start()
    try:
        assert [model.name for model in keeper.current.registry.models] == ["nice"]
    finally:
        keeper.stop()


def test_a_change_of_this_process_is_seen(keeper: WatchedKeeper) -> None:
    elsewhere(lambda: make_model(name="new"))
    keeper.await_that(lambda now: [model.name for model in now.registry.models] == ["new"])


def test_a_change_of_another_process_is_seen_within_the_promised_second(
    keeper: WatchedKeeper,
) -> None:
    versioned.forget(keeper._wake.set)  # another process cannot wake it
    team = make_team()
    keeper.await_that(lambda now: now.version == versioned.current_version())
    elsewhere(lambda: keys.create(team=team, name="key"))
    # However slow this machine is: it takes no more looks than fit into the time promised.
    looks = 0
    while not keeper.current.keys:
        assert keeper.looked.acquire(timeout=PATIENCE)
        looks += 1
    assert looks <= PROMISED / POLL_SECONDS


def test_refreshing_waits_for_what_was_committed_before(keeper: WatchedKeeper) -> None:
    versioned.forget(keeper._wake.set)
    team = make_team()
    for number in range(5):
        made = keys.create(team=team, name=f"key {number}").record
        keeper.refresh()
        assert made.public_id in keeper.current.keys
        keys.revoke(made)
        keeper.refresh()
        assert keeper.current.keys[made.public_id].revoked


def test_however_many_refresh_the_keeper_asks_for_all_of_them_at_once(
    keeper: WatchedKeeper,
) -> None:
    together = threading.Barrier(20)

    def refresh() -> int:
        together.wait(PATIENCE)
        keeper.refresh()
        return len(keeper.current.keys)

    keys.create(team=make_team(), name="key")
    before = keeper._looks
    with ThreadPoolExecutor(20) as threads:
        seen = [asked.result() for asked in [threads.submit(refresh) for _ in range(20)]]
    assert seen == [1] * 20
    assert keeper._looks - before < 20


def test_an_unchanged_snapshot_is_not_read_again(
    keeper: WatchedKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> Snapshot:
        raise AssertionError("read again")

    monkeypatch.setattr(snapshot, "load", never)
    before = keeper.current
    keeper.refresh()
    assert keeper.current is before


@pytest.mark.parametrize("fault", [OperationalError("gone"), ValueError("a bug")])
def test_a_database_that_fails_leaves_the_last_snapshot_and_is_asked_again(
    keeper: WatchedKeeper, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(snapshot, "RETRY_SECONDS", 0.01)
    failed = threading.Event()
    before = keeper.current

    def fail() -> int:
        failed.set()
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(versioned, "current_version", fail)
        make_team()
        assert failed.wait(PATIENCE)
        assert keeper.current is before
    keeper.await_that(lambda now: now.version > before.version)
    assert Team.objects.count() == 1


def test_a_stopped_keeper_keeps_its_last_snapshot_and_answers_at_once(
    keeper: WatchedKeeper,
) -> None:
    keeper.stop()
    last = keeper.current
    make_team()
    keeper.refresh()
    assert keeper.current is last
    assert not keeper._thread.is_alive()
    assert keeper._wake.set not in versioned._listeners
