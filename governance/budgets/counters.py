"""How much of a policy is used: its windows' counters, one by one and together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from governance.budgets.policies import Policy, WindowKey
from governance.windows import Period, leaves_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A window's row at one instant, or all buckets of a rolling one together.

    `window_id` is the row that holds are taken on. `frees_at` is when a rolling one has room again.
    """

    window_id: int
    consumed: int
    held: int
    raised_by: int = 0
    frees_at: datetime | None = None

    @property
    def used(self) -> int:
        """What is spoken for."""
        return self.consumed + self.held


def together(
    policy: Policy,
    key: WindowKey,
    counters: Iterable[tuple[WindowKey, Counter]],
    now: datetime,
) -> Counter:
    """How a policy stands for a call that is counted on `key`, by all windows that say so."""
    counters = tuple(counters)
    own = next(counter for one, counter in counters if one == key)
    used = [one.period for one, counter in counters if counter.used]
    frees_at = None
    if policy.rolling:
        frees_at = leaves_at(policy.interval, min(used, key=_start, default=key.period))
    return Counter(
        window_id=own.window_id,
        consumed=sum(counter.consumed for _, counter in counters),
        held=sum(counter.held for _, counter in counters),
        raised_by=sum(counter.raised_by for _, counter in counters)
        + policy.raised_by(key.scope_value, now),
        frees_at=frees_at,
    )


def _start(one: Period) -> datetime:
    return one.starts_at
