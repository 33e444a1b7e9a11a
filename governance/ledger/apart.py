"""Ending a call outside of any process's batches: an operator does, or a decision."""

from __future__ import annotations

from governance.ledger.exclusion import share_ledger
from governance.ledger.operations import Dismissal, Settlement
from governance.ledger.store import LedgerStore
from governance.models import ModelCall
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


def dismiss(dismissal: Dismissal) -> bool:
    """End a call that waits for approval, outside of any process's batches; False if it no longer
    waits."""
    (done,) = LedgerStore(new_id()).execute([dismissal])
    return bool(done)
