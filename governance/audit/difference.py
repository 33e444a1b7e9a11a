"""What changed between two states of a row, in values that JSON has, with secrets masked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

MASK = "••••"
ANOTHER = " (another)"
LONGEST_TEXT = 2000
EMPTY: tuple[Any, ...] = (None, "", [], {})

Values = Mapping[str, Any]
Changes = dict[str, list[Any]]
Shown = Callable[[Any], Any]


def difference(before: Values, after: Values, shown: Mapping[str, Shown]) -> Changes:
    """By name, what it was and what it is, of all that differ; missing and empty are the same.

    `shown` says how the values of some names are written instead of as they are.
    """
    changes: Changes = {}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old == new or (old in EMPTY and new in EMPTY):
            continue
        write = shown.get(name, plain)
        changes[name] = _told_apart(write(old), write(new))
    return changes


def _told_apart(old: Any, new: Any) -> list[Any]:
    """Two values that differ, even where they are written the same."""
    return [old, f"{new}{ANOTHER}" if old == new else new]


def plain(value: Any) -> Any:
    """`value` as JSON has it; a long text by its beginning, its length and its digest."""
    if isinstance(value, str):
        return shortened(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, Collection):
        return [plain(one) for one in value]
    return str(value)


def shortened(text: str) -> str:
    """A text of reasonable length, as it is; of a longer one, enough to tell it from others."""
    if len(text) <= LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{text[:LONGEST_TEXT]}… ({len(text):,} characters, SHA-256 {digest})"


def masked(value: Any) -> Any:
    """That there is something, and not what."""
    return value if value in EMPTY else MASK


def origin(value: Any) -> Any:
    """An address without its path, name and query: webhooks carry secrets in them."""
    if value in EMPTY:
        return value
    try:
        parts = urlsplit(str(value))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    return f"{parts.scheme}://{parts.hostname}{port}/{MASK}"
