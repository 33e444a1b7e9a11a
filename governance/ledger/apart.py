"""Ending a call outside of any process's batches: an operator does, or a decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from governance.ledger import sweeper
from governance.ledger.exclusion import share_ledger
from governance.ledger.operations import Dismissal, Settlement
from governance.ledger.store import LedgerStore
from governance.models import CallStatus, ModelCall
from providers.identifiers import new_id


def settle_now(settlement: Settlement, *, only: str) -> bool:
    """Settle a call that stands as `only` says, outside of any process's batches and within the
    caller's transaction; False if it does not."""
    # In the order of every batch: the ledger's lock comes before any row's.
    share_ledger()
    stands = ModelCall.objects.select_for_update().filter(pk=settlement.call_id, status=only)
    if not stands.exists():
        return False
    (done,) = LedgerStore(new_id()).execute([settlement])
    return bool(done)


@dataclass(frozen=True, slots=True)
class Swept:
    """How many calls were left behind and are settled now, and how many are under way."""

    settled: int
    in_flight: int


def sweep_left_behind(now: datetime, *, silence_counts: bool) -> Swept:
    """Settle calls that nobody will settle, a bounded number of them: see `sweeper.orphans`."""
    left = sweeper.orphans(silence_counts=silence_counts, now=now)
    results = LedgerStore(new_id()).execute(left) if left else []
    in_flight = ModelCall.objects.filter(status=CallStatus.IN_FLIGHT).count()
    return Swept(settled=sum(map(bool, results)), in_flight=in_flight)


def dismiss(dismissal: Dismissal) -> bool:
    """End a call that waits for approval, outside of any process's batches; False if it no longer
    waits."""
    (done,) = LedgerStore(new_id()).execute([dismissal])
    return bool(done)
