"""Watches bulk writes, of which Django's signals say nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import models, transaction

from governance.audit.recording import ADDED, CHANGED, record_difference
from governance.audit.registry import tracked


@contextmanager
def watching(rows: models.QuerySet[Any], names: Collection[str] | None = None) -> Iterator[None]:
    """Record what the block changes in `rows`, all or nothing. `names` are the fields it writes, if
    that is known."""
    one = tracked(rows.model)
    if one is None or not one.concerns(names):
        yield
        return
    with transaction.atomic():
        keys = list(rows.order_by().values_list("pk", flat=True))
        stored = rows.model._base_manager.filter(pk__in=keys)
        # Locked, so that of two who write the same only one is said to have changed anything.
        before = {row.pk: one.values(row) for row in stored.select_for_update(no_key=True)}
        yield
        for row in stored.order_by("pk") if before else ():
            record_difference(CHANGED, one, row, before.get(row.pk, {}), one.values(row))


def record_added(rows: Iterable[models.Model]) -> None:
    """Record rows that were inserted together."""
    for row in rows:
        one = tracked(type(row))
        if one is not None:
            record_difference(ADDED, one, row, {}, one.values(row))


class BulkWrites:
    """Tells the audit trail of the bulk writes of what is `Versioned`."""

    def updating(
        self, rows: models.QuerySet[Any], names: Collection[str]
    ) -> AbstractContextManager[None]:
        return watching(rows, names)

    def added(self, rows: Iterable[models.Model]) -> None:
        record_added(rows)
