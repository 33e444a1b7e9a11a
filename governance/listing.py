"""Several things in one sentence."""

from __future__ import annotations

from collections.abc import Iterable


def listed(things: Iterable[object], last: str = "and") -> str:
    """Things as they are read out: "75", "75 and 90", "50, 75 and 90"; nothing of none."""
    *others, end = [str(one) for one in things] or [""]
    return f"{', '.join(others)} {last} {end}" if others else end
