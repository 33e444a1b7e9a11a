"""The ledger's thread: group commit, neighbours that do no harm, many writers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from governance.errors import LedgerUnavailable
from governance.leases import LeaseDemand, LeaseOption
from governance.ledger import Admitted, LedgerWriter, never_sent
from governance.ledger.operations import Result
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetWindow,
    CallStatus,
    ModelCall,
    ProcessHeartbeat,
    ProviderLease,
    Team,
)
from providers.identifiers import new_id
from tests.governance.small_calls import admission, settlement, window_of
from tests.support.factories import make_policy, make_provider, make_team

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 30


@contextmanager
def writing() -> Iterator[LedgerWriter]:
    writer = LedgerWriter(process_id=new_id(), role="web")
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


class GatedStore(LedgerStore):
    """Waits before each batch until it is let go, so that a test decides what gathers."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.waiting = threading.Event()
        self.gate = threading.Event()
        self.sizes: list[int] = []

    def execute(self, operations: Sequence[Any]) -> list[Result]:
        self.waiting.set()
        assert self.gate.wait(PATIENCE)
        self.sizes.append(len(operations))
        return super().execute(operations)


@contextmanager
def gated() -> Iterator[tuple[LedgerWriter, GatedStore]]:
    writer = LedgerWriter(process_id=new_id(), role="web")
    store = GatedStore(writer.process_id)
    writer._store = store
    writer.start()
    try:
        yield writer, store
    finally:
        store.gate.set()
        writer.stop()


def test_calls_that_come_while_one_commits_share_the_next_commit() -> None:
    team, _ = make_team(), make_policy()
    with gated() as (writer, store):
        futures = [writer.submit(admission(team))]
        assert store.waiting.wait(PATIENCE)
        futures += [writer.submit(admission(team)) for _ in range(50)]
        store.gate.set()
        assert all(future.result(PATIENCE).admission.blocking is None for future in futures)
    assert store.sizes == [1, 50]


def test_a_request_withdrawn_before_its_turn_is_never_begun() -> None:
    team, policy = make_team(), make_policy()
    with gated() as (writer, store):
        first = writer.submit(admission(team))
        assert store.waiting.wait(PATIENCE)
        withdrawn = admission(team)
        assert writer.submit(withdrawn).cancel()
        store.gate.set()
        first.result(PATIENCE)
    assert not ModelCall.objects.filter(pk=withdrawn.call_id).exists()
    assert window_of(policy, team) == (0, 100)


def test_one_impossible_admission_does_not_fail_its_neighbours() -> None:
    team, policy = make_team(), make_policy()
    with gated() as (writer, store):
        first = writer.submit(admission(team))
        assert store.waiting.wait(PATIENCE)
        nobody = writer.submit(admission(Team(pk=987_654)))
        after = writer.submit(admission(team))
        store.gate.set()
        assert first.result(PATIENCE).admission.holds
        assert after.result(PATIENCE).admission.holds
        with pytest.raises(LedgerUnavailable):
            nobody.result(PATIENCE)
    assert window_of(policy, team) == (0, 200)


def test_while_the_database_is_away_admissions_fail_and_settlements_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("governance.ledger.writer.PAUSE_SECONDS", 0)
    team, policy = make_team(), make_policy()
    with writing() as writer:
        request = admission(team)
        writer.submit(request).result(PATIENCE)
        real, refused = writer._store.execute, threading.Event()

        def away(operations: Sequence[Any]) -> Any:
            refused.set()
            raise OperationalError("the database is away")

        monkeypatch.setattr(writer._store, "execute", away)
        with pytest.raises(LedgerUnavailable):
            writer.submit(admission(team)).result(PATIENCE)
        refused.clear()
        settled = writer.submit(settlement(request.call_id))
        assert refused.wait(PATIENCE)
        monkeypatch.setattr(writer._store, "execute", real)
        assert settled.result(PATIENCE) is True
    assert window_of(policy, team) == (30, 0)


def test_a_commit_whose_answer_was_lost_leaves_nothing_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller is told that nothing was sent, so nothing may be charged either."""
    monkeypatch.setattr("governance.ledger.writer.PAUSE_SECONDS", 0)
    team, policy = make_team(), make_policy()
    with writing() as writer:
        real, lost = writer._store.execute, threading.Event()

        def lose_the_answer(operations: Sequence[Any]) -> Any:
            results = real(operations)
            if not lost.is_set():
                lost.set()
                raise OperationalError("the connection broke after the commit")
            return results

        monkeypatch.setattr(writer._store, "execute", lose_the_answer)
        request = admission(team)
        with pytest.raises(LedgerUnavailable):
            writer.submit(request).result(PATIENCE)
        assert lost.is_set()
    row = ModelCall.objects.get(pk=request.call_id)
    assert (row.status, row.cost) == (CallStatus.CANCELLED, 0)
    assert window_of(policy, team) == (0, 0)


@pytest.mark.parametrize("stands_in", [False, True])
def test_a_commit_whose_answer_was_lost_is_recognised(
    monkeypatch: pytest.MonkeyPatch, stands_in: bool
) -> None:
    """Asked anew, the call would find its own hold and its own place in its way."""
    monkeypatch.setattr("governance.ledger.writer.PAUSE_SECONDS", 0)
    team, policy = make_team(), make_policy(hard_limit=100)
    provider = make_provider(concurrency_limit=1)
    place = LeaseDemand(provider.pk, 1, (LeaseOption(None, None),))
    with writing() as writer:
        published, lost = writer.published, threading.Event()

        def lose_the_answer(*_: Any) -> None:
            if not lost.is_set():
                lost.set()
                raise OperationalError("the connection broke after the commit")

        monkeypatch.setattr(type(published), "put", lambda _, *given: lose_the_answer(*given))
        request = replace(admission(team), lease=place, stands_in=stands_in)
        admitted = writer.submit(request).result(PATIENCE)
        assert lost.is_set()
        assert isinstance(admitted, Admitted)
        assert admitted.admission.blocking is None
        assert not admitted.busy
        assert window_of(policy, team) == (0, 100)
        assert ProviderLease.objects.get().in_use == 1
        writer.submit(settlement(request.call_id)).result(PATIENCE)
    assert window_of(policy, team) == (30, 0)
    assert ProviderLease.objects.get().in_use == 0


def test_a_process_releases_only_what_it_holds_itself() -> None:
    team, policy = make_team(), make_policy()
    here, elsewhere = new_id(), new_id()
    store = LedgerStore(here)
    request = admission(team)
    store.execute([request])
    stray = never_sent(request.call_id, timezone.now(), owner=elsewhere)
    assert LedgerStore(elsewhere).execute([stray]) == [False]
    assert window_of(policy, team) == (0, 100)
    assert store.execute([settlement(request.call_id)]) == [True]
    assert window_of(policy, team) == (30, 0)


def test_after_a_gap_nobody_is_taken_for_dead_until_all_could_be_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("governance.ledger.writer.time.time", lambda: clock[0])
    monkeypatch.setattr("django.conf.settings.PALYRA_OWNER_TIMEOUT", 15)
    writer = LedgerWriter(process_id=new_id(), role="web")

    def beats(seconds: float) -> bool:
        clock[0] += seconds
        return writer._heard_steadily()

    assert not beats(0), "just started"
    assert [beats(2) for _ in range(8)] == [False] * 7 + [True]
    assert not beats(60), "an outage, or a machine that slept"
    assert [beats(2) for _ in range(8)] == [False] * 7 + [True]
    assert not beats(-5), "a clock set back"


def test_stopping_writes_what_is_pending_and_strikes_the_process_out() -> None:
    team, policy = make_team(), make_policy()
    with gated() as (writer, store):
        assert ProcessHeartbeat.objects.filter(pk=writer.process_id, role="web").exists()
        futures: list[Future[Any]] = [writer.submit(admission(team)) for _ in range(10)]
        store.gate.set()
    assert all(future.done() for future in futures)
    assert window_of(policy, team) == (0, 1000)
    assert not ProcessHeartbeat.objects.exists()


def test_many_writers_never_pass_a_hard_limit_and_lose_nothing() -> None:
    """Four writers race for a limit that a third of the calls fit into, settling as they go."""
    team = make_team()
    policy = make_policy(hard_limit=3000)
    everyones = make_policy(scope="global", hard_limit=10**9, interval="day")
    outcomes: list[bool] = []
    passed: list[tuple[int, int]] = []
    racing = threading.Event()

    def sample() -> None:
        from django.db import connection  # noqa: PLC0415 - the sampler's own

        while not racing.is_set():
            for consumed, held in BudgetWindow.objects.filter(policy=policy).values_list(
                "consumed", "held"
            ):
                if consumed + held > 3000:
                    passed.append((consumed, held))
        connection.close()

    def race(writer: LedgerWriter) -> None:
        pending = [(one, writer.submit(one)) for one in (admission(team) for _ in range(50))]
        settled = []
        for request, future in pending:
            fits = future.result(PATIENCE).admission.blocking is None
            outcomes.append(fits)
            if fits:
                settled.append(writer.submit(settlement(request.call_id, cost=55)))
        assert all(future.result(PATIENCE) for future in settled)

    sampler = threading.Thread(target=sample)
    sampler.start()
    with writing() as one, writing() as two, writing() as three, writing() as four:
        racers = [threading.Thread(target=race, args=[each]) for each in (one, two, three, four)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(PATIENCE)
    racing.set()
    sampler.join(PATIENCE)

    assert passed == []
    assert len(outcomes) == 200
    assert 30 <= sum(outcomes) <= 54
    total = sum(outcomes) * 55
    assert window_of(policy, team) == window_of(everyones) == (total, 0)
    counts = {status: ModelCall.objects.filter(status=status).count() for status in CallStatus}
    assert counts[CallStatus.SUCCEEDED] == sum(outcomes)
    assert counts[CallStatus.BLOCKED] == 200 - sum(outcomes)
