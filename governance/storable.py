"""JSON as every database can store it: PostgreSQL refuses the character NUL, and numbers that are
none, even where JSON allows them."""

from __future__ import annotations

from math import isfinite
from typing import Any

NUL = "\0"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def is_storable(value: Any) -> bool:
    """Whether it can be stored as it is."""
    if isinstance(value, str):
        return NUL not in value
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(is_storable(key) and is_storable(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(is_storable(one) for one in value)
    return True


def storable(value: Any) -> Any:
    """The same with a replacement character for each NUL, and null for what is no number."""
    if isinstance(value, str):
        return value.replace(NUL, REPLACEMENT)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [storable(one) for one in value]
    return value
