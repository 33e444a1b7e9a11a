"""How long one must wait after too many failed attempts, and how that is said. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many failures within so many seconds."""

    amount: int
    seconds: float


def wait(failures: Sequence[float], limit: Limit, now: float) -> float:
    """Seconds until another attempt may be made; 0 if it may be made now.

    `failures` are the moments of failed attempts, in seconds, in any order.
    """
    counted = sorted(moment for moment in failures if moment > now - limit.seconds)
    if len(counted) < limit.amount:
        return 0
    # Once the oldest of the last so many is too old to count, there is room for one more.
    return max(0.0, counted[-limit.amount] + limit.seconds - now)


def longest(waits: Iterable[float]) -> float:
    """The wait that all limits together ask for."""
    return max(waits, default=0)


def in_words(seconds: float) -> str:
    """How long to wait, rounded up: people who come back are let in."""
    if seconds <= MINUTE:
        return "in a minute"
    return f"in {math.ceil(seconds / MINUTE)} minutes"
