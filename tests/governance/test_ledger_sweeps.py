"""What the ledger's sweeper makes of calls whose process is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from governance import processes
from governance.ledger import (
    sweeper,
)
from governance.ledger.store import LedgerStore
from governance.models import (
    CallStatus,
    ModelCall,
    ProcessHeartbeat,
)
from providers.usage import Usage
from tests.governance.small_calls import admission, admitted, settlement, window_of
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


class TestSweep:
    """What dead processes leave is settled at the expected cost, and can be corrected."""

    def test_a_living_owner_keeps_its_holds(self, store: LedgerStore) -> None:
        store.execute([admission(make_team())])
        assert sweeper.orphans(silence_counts=True) == []

    @pytest.mark.parametrize("how", ["owner struck out", "owner silent", "call expired"])
    def test_an_abandoned_call_is_unconfirmed_at_its_expected_cost(
        self, store: LedgerStore, owner: UUID, how: str
    ) -> None:
        team, policy = make_team(), make_policy()
        tokens = make_policy(metric="tokens", hard_limit=1000)
        past = timezone.now() - timedelta(hours=1)
        row: dict[str, Any] = {"expires_at": past} if how == "call expired" else {}
        request = admission(team, **row)
        store.execute([request])
        if how == "owner struck out":
            process = ProcessHeartbeat.objects.get(pk=owner)
            assert processes.mark_ended(process.host, process.pid) == 1
        elif how == "owner silent":
            ProcessHeartbeat.objects.update(seen_at=past)

        store.execute(sweeper.orphans(silence_counts=True))

        call = ModelCall.objects.get(pk=request.call_id)
        assert (call.status, call.cost, call.usage_reported) == ("unconfirmed", 40, False)
        assert "expected cost" in call.error
        assert window_of(policy, team) == (40, 0)
        assert window_of(tokens, team) == (20, 0)
        assert sweeper.orphans(silence_counts=True) == []

    def test_where_everybody_was_silent_only_the_dead_are_swept(
        self, store: LedgerStore, owner: UUID
    ) -> None:
        """After an outage every heartbeat is stale, and every call may still be at work."""
        team, policy = make_team(), make_policy(hard_limit=100)
        store.execute([admission(team, cost=100)])
        ProcessHeartbeat.objects.update(seen_at=timezone.now() - timedelta(hours=1))

        assert sweeper.orphans(silence_counts=False) == []
        assert admitted(store.execute([admission(team, cost=60)])) == [False]
        assert window_of(policy, team) == (0, 100)

        processes.end(owner)
        assert len(sweeper.orphans(silence_counts=False)) == 1

    def test_an_owner_that_was_alive_after_all_corrects_the_sweep(self, store: LedgerStore) -> None:
        team, policy = make_team(), make_policy()
        request = admission(team)
        store.execute([request])
        ProcessHeartbeat.objects.all().delete()
        store.execute(sweeper.orphans(silence_counts=True))
        later, tokens = make_policy(), make_policy(metric="tokens", hard_limit=1000)
        other = admission(team)
        store.execute([other])
        store.execute([settlement(other.call_id, cost=0, usage=Usage())])
        store.execute([admission(team)])
        assert (window_of(later, team), window_of(tokens, team)) == ((40, 100), (20, 50))

        assert store.execute([settlement(request.call_id, cost=90)]) == [True]

        assert ModelCall.objects.get(pk=request.call_id).status == CallStatus.SUCCEEDED
        assert window_of(policy, team) == (90, 100)
        assert window_of(later, team) == (90, 100)
        assert window_of(tokens, team) == (15, 50)
        assert store.execute([settlement(request.call_id, cost=1)]) == [False]


def test_a_process_beats_and_ends(owner: UUID) -> None:
    assert [one.pk for one in processes.alive()] == [owner]
    ProcessHeartbeat.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert processes.alive() == []
    processes.beat(owner, "web", timezone.now())
    assert [one.role for one in processes.alive()] == ["web"]
    processes.end(owner)
    assert not ProcessHeartbeat.objects.exists()
