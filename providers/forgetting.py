"""Deleting many rows little by little, so that no writer waits long for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

MOST_AT_ONCE = 1000
# Between two statements, for others who want to write.
PAUSE_SECONDS = 0.01
GoesOn = Callable[[], bool]
Keys = list[Any]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were deleted, and whether those were all."""

    rows: int
    finished: bool


def _none(_: Keys) -> Collection[Any]:
    return ()


def forget(
    rows: QuerySet[Any], goes_on: GoesOn, *, spared: Callable[[Keys], Collection[Any]] = _none
) -> Forgotten:
    """Delete `rows`, at most `MOST_AT_ONCE` a statement, as long as it may go on.

    `spared` says which of some primary keys stay after all. A row that has changed since it was
    found and is no longer one of `rows` stays as well.
    """
    deleted, last = 0, None
    while goes_on():
        ahead = rows if last is None else rows.filter(pk__gt=last)
        keys = list(ahead.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
        if keys:
            deleted += _delete(rows, without(keys, spared(keys)))
        if len(keys) < MOST_AT_ONCE:
            return Forgotten(deleted, finished=True)
        last = keys[-1]
        time.sleep(PAUSE_SECONDS)
    return Forgotten(deleted, finished=False)


def without(keys: Iterable[Any], spared: Collection[Any]) -> Keys:
    """Those of `keys` that are not `spared`."""
    return [key for key in keys if key not in spared]


def _delete(rows: QuerySet[Any], keys: Keys) -> int:
    """How many of them were still to be had; whatever somebody else has locked stays."""
    if not keys:
        return 0
    every = rows.model._base_manager.order_by("pk")
    with transaction.atomic():
        mine = every.filter(pk__in=keys).select_for_update(skip_locked=True)
        locked = list(mine.values_list("pk", flat=True))
        still = list(rows.filter(pk__in=locked).order_by().values_list("pk", flat=True))
        _, by_model = rows.model._base_manager.filter(pk__in=still).delete()
    return int(by_model.get(rows.model._meta.label, 0))
