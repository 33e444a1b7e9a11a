"""Places at a provider: whoever waits in the foreground has the next one, in whatever process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from governance.calls import execute
from governance.errors import ProviderUnavailable
from governance.leases import LeaseDemand, LeaseOption
from governance.ledger import Admitted
from governance.ledger.store import LedgerStore
from governance.models import ProviderLease, Team
from providers.identifiers import new_id
from providers.models import Provider
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, install
from tests.governance.small_calls import admission, settlement
from tests.governance.test_failover import Busy, limit
from tests.support.factories import make_provider, make_team


class Place:
    """A provider with one place, which is taken, and two processes that ask for it."""

    def __init__(self) -> None:
        self.team: Team = make_team()
        self.provider: Provider = make_provider(concurrency_limit=1)
        self.here, self.elsewhere = LedgerStore(new_id()), LedgerStore(new_id())
        self.taken = self.asked(self.here)
        assert self.taken is not None

    def asked(
        self, store: LedgerStore, *, background: bool = False, until: datetime | None = None
    ) -> UUID | None:
        """Ask for the place; the call's id if it was given."""
        lease = LeaseDemand(self.provider.pk, 1, (LeaseOption(None, None),), background, until)
        request = replace(admission(self.team), lease=lease)
        (found,) = store.execute([request])
        assert isinstance(found, Admitted)
        return None if found.busy else request.call_id

    def left(self, call_id: UUID | None) -> None:
        assert call_id is not None
        self.here.execute([settlement(call_id)])

    @property
    def waited_for(self) -> Any:
        return ProviderLease.objects.get().waited_for_until


@pytest.fixture
def place(db: None) -> Place:
    return Place()


def soon() -> datetime:
    return timezone.now() + timedelta(minutes=1)


def test_the_next_place_is_kept_for_who_waits_in_the_foreground(place: Place) -> None:
    until = soon()
    assert place.asked(place.here, until=until) is None
    assert place.waited_for == until
    place.left(place.taken)
    assert place.asked(place.elsewhere, background=True, until=soon()) is None
    assert place.asked(place.here, until=until) is not None
    assert place.waited_for is None


def test_where_nobody_waits_the_background_has_its_place(place: Place) -> None:
    place.left(place.taken)
    assert place.asked(place.elsewhere, background=True) is not None


def test_who_waits_in_the_background_keeps_nobody_away(place: Place) -> None:
    assert place.asked(place.here, background=True, until=soon()) is None
    assert place.waited_for is None
    place.left(place.taken)
    assert place.asked(place.elsewhere, background=True) is not None


def test_one_that_gave_up_waiting_keeps_nobody_away_for_long(place: Place) -> None:
    assert place.asked(place.here, until=timezone.now() - timedelta(seconds=1)) is None
    place.left(place.taken)
    assert place.asked(place.elsewhere, background=True) is not None


def test_one_that_has_its_place_does_not_speak_for_those_who_wait_longer(place: Place) -> None:
    first, second = soon(), soon() + timedelta(seconds=1)
    assert place.asked(place.here, until=first) is None
    assert place.asked(place.elsewhere, until=second) is None
    place.left(place.taken)
    mine = place.asked(place.here, until=first)
    assert place.waited_for == second
    place.left(mine)
    assert place.asked(place.here, background=True) is None
    assert place.asked(place.elsewhere, until=second) is not None


async def test_background_is_deferred_while_the_foreground_waits(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, second = Busy(), Busy()
    install(monkeypatch, first=[busy, second], second=answer())
    await limit(two, two.first)
    one = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    await busy.began.wait()
    other = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    while not await ProviderLease.objects.filter(waited_for_until__isnull=False).aexists():
        await asyncio.sleep(0)
    behind = replace(two.request("cheap"), task_class="background_automation")
    last = asyncio.create_task(execute(behind, runtime=two.runtime))
    while two.runtime.lease_line.waiting(two.first.pk) < 2:
        await asyncio.sleep(0)
    busy.may_end.set()
    # The place that comes free is the other's, though both wait for it.
    await second.began.wait()
    with pytest.raises(ProviderUnavailable, match="as many calls under way"):
        await last
    second.may_end.set()
    await asyncio.gather(one, other)
