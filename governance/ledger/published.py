"""What this process last saw of budgets and places, for decisions that need only be nearly right.

The ledger's thread writes it after each of its commits, and the event loop reads it: whole values
are put in place of whole values, so no lock is needed. Other processes' calls show as soon as this
one asks the ledger again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from governance.budgets import Counter, Policy, WindowKey
from governance.leases import LeaseKey
from providers.registry import ProviderEntry

# Seconds after which nobody goes by it any more.
FRESH = 2.0
MOST_WINDOWS = 10_000


@dataclass(slots=True)
class Published:
    """Windows and calls under way as this process saw them, each with the time it did."""

    windows: dict[WindowKey, tuple[Counter, float]] = field(default_factory=dict)
    in_use: dict[LeaseKey, tuple[int, float]] = field(default_factory=dict)

    def put(
        self, windows: Iterable[tuple[WindowKey, Counter]], in_use: Mapping[LeaseKey, int]
    ) -> None:
        """What a commit left."""
        now = time.monotonic()
        if len(self.windows) > MOST_WINDOWS:
            self.windows.clear()
        self.windows.update((key, (counter, now)) for key, counter in windows)
        self.in_use.update((key, (count, now)) for key, count in in_use.items())

    def pressure(self, providers: Iterable[ProviderEntry]) -> dict[int, float]:
        """By provider that has a limit, the share of its places that is taken, if that is known."""
        oldest = time.monotonic() - FRESH
        found = {}
        for provider in providers:
            count, at = self.in_use.get(LeaseKey(provider.id), (0, 0.0))
            if provider.concurrency_limit and at > oldest:
                found[provider.id] = count / provider.concurrency_limit
        return found

    def left(self, policy: Policy, key: WindowKey, at: datetime) -> int | None:
        """What a cost budget leaves; None if it limits nothing, or nothing is known of it."""
        if policy.hard_limit is None:
            return None
        known = self.windows.get(key)
        if known is None or known[1] < time.monotonic() - FRESH:
            return None
        raised_by = known[0].raised_by + policy.raised_by(key.scope_value, at)
        return max(0, policy.hard_limit + raised_by - known[0].used)
