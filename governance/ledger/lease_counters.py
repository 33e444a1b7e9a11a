"""The counters of calls under way at each provider and credential, locked by a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from governance.leases import Lease, LeaseDemand, LeaseKey, lease
from governance.ledger import rows
from governance.models import ProviderLease


class LeasesMissing(Exception):
    """A batch needs counters that are not there; they are made before it is tried again."""

    def __init__(self, missing: Iterable[LeaseKey]) -> None:
        super().__init__("lease counters missing")
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class Taken:
    """A lease that was taken: its credential, and the counters' rows that count the call."""

    credential_id: int | None
    rows: list[int]


@dataclass(slots=True)
class LockedLeases:
    """The locked counters of a batch: calls under way by row, until when one in the foreground
    waits there, and each key's row. `now` is when the batch is decided."""

    in_use: dict[int, int]
    waited_for: dict[int, datetime | None]
    ids: dict[LeaseKey, int]
    now: datetime
    changed: set[int] = field(default_factory=set)

    def take(self, demand: LeaseDemand | None) -> Taken | None:
        """Count a call at the first option with room; None if none has. No demand, no lease.

        One in the foreground that finds no room keeps the place that comes free next: none in the
        background gets it, in whatever process, for as long as it may wait.
        """
        if demand is None:
            return Taken(None, [])
        keys = [self.ids[key] for key in demand.keys]
        if demand.background and any(self._is_waited_for(pk) for pk in keys):
            return None
        found: Lease | None = lease(
            demand, {key: self.in_use[self.ids[key]] for key in demand.keys}
        )
        if demand.waits_until is not None and not demand.background:
            self._wait(keys, demand.waits_until, goes_on=found is None)
        if found is None:
            return None
        taken = [self.ids[key] for key in found.keys]
        self._count(taken, 1)
        return Taken(found.credential_id, taken)

    def _is_waited_for(self, pk: int) -> bool:
        until = self.waited_for.get(pk)
        return until is not None and until > self.now

    def _wait(self, keys: Iterable[int], until: datetime, *, goes_on: bool) -> None:
        """A call waits until then, or has its place now. Those who began to wait after it wait for
        longer, so it does not speak for them."""
        for pk in keys:
            said = self.waited_for.get(pk)
            if goes_on and (said is None or said < until):
                self.waited_for[pk] = until
                self.changed.add(pk)
            elif not goes_on and said is not None and said <= until:
                self.waited_for[pk] = None
                self.changed.add(pk)

    def move(self, held: Sequence[int], demand: LeaseDemand | None) -> Taken | None:
        """Take a lease in place of the one held; None if there is no room, and all stays."""
        self._count(held, -1)
        taken = self.take(demand)
        if taken is None:
            self._count(held, 1)
        return taken

    def release(self, held: Sequence[int]) -> None:
        """A call is no longer under way."""
        self._count(held, -1)

    def by_key(self) -> dict[LeaseKey, int]:
        """How many calls are under way by each counter that is locked."""
        return {key: self.in_use[pk] for key, pk in self.ids.items() if pk in self.in_use}

    def write(self) -> None:
        """Store what changed."""
        changed = [
            ProviderLease(pk=pk, in_use=self.in_use[pk], waited_for_until=self.waited_for[pk])
            for pk in sorted(self.changed)
        ]
        rows.update(changed, ("in_use", "waited_for_until"))

    def _count(self, taken: Sequence[int], by: int) -> None:
        for pk in taken:
            # Its provider may have been deleted meanwhile, and the counter with it.
            if pk in self.in_use:
                self.in_use[pk] = max(0, self.in_use[pk] + by)
                self.changed.add(pk)


class LeaseCounters:
    """Finds and locks counters; remembers their rows between batches. For one thread."""

    def __init__(self) -> None:
        self._ids: dict[LeaseKey, int] = {}

    def forget(self) -> None:
        """Providers or credentials may have been deleted: look for every row anew."""
        self._ids.clear()

    def lock(
        self, demands: Iterable[LeaseDemand | None], held: Iterable[int], now: datetime
    ) -> LockedLeases:
        """Lock the counters that the demands depend on and those of `held` rows, in their order.

        Raises `LeasesMissing` if some are not there yet.
        """
        needed = {key for demand in demands if demand is not None for key in demand.keys}
        self._find(needed - self._ids.keys())
        missing = needed - self._ids.keys()
        if missing:
            raise LeasesMissing(missing)
        wanted = {*(self._ids[key] for key in needed), *held}
        found = _locked(wanted) if wanted else []
        in_use = {pk: used for pk, used, _ in found}
        gone = {key for key in needed if self._ids[key] not in in_use}
        if gone:
            for key in gone:
                del self._ids[key]
            raise LeasesMissing(gone)
        return LockedLeases(in_use, {pk: until for pk, _, until in found}, self._ids, now)

    def open(self, missing: Iterable[LeaseKey]) -> None:
        """Make counters, at zero; another process may be doing the same."""
        for key in sorted(missing, key=lambda key: (key.provider_id, key.credential_id or 0)):
            try:
                with transaction.atomic():
                    ProviderLease.objects.create(
                        provider_id=key.provider_id, credential_id=key.credential_id
                    )
            except IntegrityError:
                continue

    def _find(self, unknown: set[LeaseKey]) -> None:
        if not unknown:
            return
        named = Q(provider_id__in={key.provider_id for key in unknown})
        for pk, provider_id, credential_id in ProviderLease.objects.filter(named).values_list(
            "pk", "provider_id", "credential_id"
        ):
            self._ids[LeaseKey(provider_id, credential_id)] = pk


def _locked(wanted: set[int]) -> list[tuple[int, int, datetime | None]]:
    counters = ProviderLease.objects.select_for_update().filter(pk__in=sorted(wanted))
    return list(counters.order_by("pk").values_list("pk", "in_use", "waited_for_until"))
