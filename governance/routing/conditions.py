"""How things stand at this moment, as far as the decision is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FULL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is known of providers and budgets now; whoever is in no mapping has nothing against it.

    `unhealthy` says by provider why it cannot be called, `lease_pressure` by provider which share
    of its places is taken, `remaining` by model the nano-dollars that budgets leave a call there.
    """

    unhealthy: Mapping[int, str] = field(default_factory=dict)
    lease_pressure: Mapping[int, float] = field(default_factory=dict)
    remaining: Mapping[int, int] = field(default_factory=dict)


NO_CONDITIONS = Conditions()
