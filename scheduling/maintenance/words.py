"""How the results of upkeep are put in words."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMED = 5


def counted(number: int, noun: str, nouns: str = "") -> str:
    """The number and what it is of: 1 run, 1,204 runs."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def named(names: Sequence[str]) -> str:
    """The first few of the names, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
