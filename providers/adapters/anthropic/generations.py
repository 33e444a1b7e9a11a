"""What a model understands, as far as its name tells: fields came and went with generations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

VERSION = re.compile(r"claude-(?:[a-z]+-)?v?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
NEWEST = (99, 0)
LAST_WITH_SAMPLING = (4, 6)
FIRST_ADAPTIVE = (4, 6)
FIRST_WITH_SCHEMAS = (4, 5)


@dataclass(frozen=True, slots=True)
class Understands:
    """`sampling`: takes a temperature; newer ones refuse a request that has any.
    `adaptive`: takes an effort and thinks as much as that asks for; others take a budget.
    `most_effort`: knows efforts beyond high.
    `schemas`: can be held to a JSON schema; others can only be told of it."""

    sampling: bool
    adaptive: bool
    most_effort: bool
    schemas: bool


@lru_cache(maxsize=256)
def understands(upstream_name: str) -> Understands:
    """What the model of that name takes. Another vendor's is like the older ones."""
    version = _version(upstream_name.lower())
    if version is None:
        return Understands(sampling=True, adaptive=False, most_effort=False, schemas=False)
    return Understands(
        sampling=version <= LAST_WITH_SAMPLING,
        adaptive=version >= FIRST_ADAPTIVE,
        most_effort=version > FIRST_ADAPTIVE,
        schemas=version >= FIRST_WITH_SCHEMAS,
    )


def _version(name: str) -> tuple[int, int] | None:
    """A Claude's version; the newest where its name has none; None for another vendor's model."""
    if "claude" not in name:
        return None
    found = VERSION.search(name)
    return (int(found[1]), int(found[2] or 0)) if found else NEWEST
