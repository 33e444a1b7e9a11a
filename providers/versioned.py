"""What every process keeps in memory, and the one number that says when to read it again.

Keys, policies, prices and the registry are read on every call, so each process holds them as an
immutable snapshot. Every model in it inherits `Versioned`, whose writes add one to
`SnapshotVersion` in the same transaction; a process whose snapshot is older reads anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, TypeVar

from django.db import models, transaction
from django.db.models import F

ModelT = TypeVar("ModelT", bound=models.Model)
_listeners: list[Callable[[], None]] = []


class Watcher(Protocol):
    """Is told of bulk writes, within their transaction: Django's signals say nothing of them."""

    def updating(
        self, rows: models.QuerySet[Any], names: Collection[str]
    ) -> AbstractContextManager[None]:
        """Around writing the fields `names` of `rows`."""

    def added(self, rows: Iterable[models.Model]) -> None:
        """After inserting `rows`."""


_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> None:
    """Have `watcher` told of every bulk write of a `Versioned` model."""
    if watcher not in _watchers:
        _watchers.append(watcher)


class SnapshotVersion(models.Model):
    """One row; `version` grows with every change of anything a snapshot holds."""

    version = models.BigIntegerField(default=0)

    class Meta:
        app_label = "providers"

    def __str__(self) -> str:
        return f"version {self.version}"


def current_version() -> int:
    """The version of what is stored now: one query by primary key."""
    return SnapshotVersion.objects.filter(pk=1).values_list("version", flat=True).first() or 0


def bump() -> None:
    """Count a change, in the caller's transaction, and tell this process once it is committed.

    Called before the change itself: whoever changes several rows then takes this row's lock first,
    and two of them never wait for each other in a circle.
    """
    if not SnapshotVersion.objects.filter(pk=1).update(version=F("version") + 1):
        SnapshotVersion.objects.update_or_create(pk=1, defaults={"version": 1})
    for listener in _listeners:
        transaction.on_commit(listener)


def on_change(listener: Callable[[], None]) -> None:
    """Have `listener` called after each change this process commits. It must not block."""
    if listener not in _listeners:
        _listeners.append(listener)


def forget(listener: Callable[[], None]) -> None:
    """Undo `on_change`."""
    if listener in _listeners:
        _listeners.remove(listener)


class VersionedQuerySet(models.QuerySet[ModelT]):
    """Counts the bulk writes, which pass by `Model.save` and `Model.delete`."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic():
            bump()
            with ExitStack() as watched:
                for watcher in _watchers:
                    watched.enter_context(watcher.updating(self, kwargs.keys()))
                return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            bump()
            return super().delete()

    # As Django's own: a manager has no `delete`, so that `objects.delete()` cannot empty a table.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        with transaction.atomic():
            bump()
            made = super().bulk_create(objs, *args, **kwargs)
            for watcher in _watchers:
                watcher.added(made)
            return made

    def bulk_update(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> int:
        with transaction.atomic():
            bump()
            return super().bulk_update(objs, *args, **kwargs)


class Versioned(models.Model):
    """A row that is part of the snapshot: saving or deleting it counts as a change."""

    objects: Any = VersionedQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            bump()
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            bump()
            return super().delete(*args, **kwargs)
