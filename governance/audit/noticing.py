"""Notices what Django's signals tell of tracked rows, and records it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models

from governance.audit.recording import ADDED, CHANGED, DELETED, record_difference
from governance.audit.registry import Tracked, registered

_BEFORE = "_audit_before"
_LISTS = "_audit_lists"


def before_save(
    sender: type[models.Model],
    instance: models.Model,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """Remember what is stored, if a tracked field is about to be written over."""
    one = registered[sender]
    kept: dict[str, Any] | None = None
    if one.concerns(update_fields):
        stored = None if _is_surely_new(instance) else _stored(sender, instance)
        kept = {} if stored is None else one.values(stored)
    setattr(instance, _BEFORE, kept)


def after_save(sender: type[models.Model], instance: models.Model, created: bool, **_: Any) -> None:
    """Record what the save changed, as the database has it now."""
    before = instance.__dict__.pop(_BEFORE, None)
    stored = None if before is None else _stored(sender, instance)
    if stored is None:
        return
    one = registered[sender]
    action = ADDED if created else CHANGED
    if created and one.one_row:
        action, before = CHANGED, one.defaults()
    record_difference(action, one, stored, before, one.values(stored))


def before_delete(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """Record what is about to be gone; what is deleted with it has entries of its own."""
    one = registered[sender]
    record_difference(DELETED, one, instance, one.values(instance), {})


def list_changes(
    sender: Any, instance: models.Model, action: str, reverse: bool, **told: Any
) -> None:
    """Record what was added to, or taken from, a tracked list, whichever end was written."""
    when, _, what = action.partition("_")
    for one, name in _lists_of(sender):
        owners = _owners(one, name, instance, what, told["pk_set"]) if reverse else [instance]
        if when == "pre":
            kept = instance.__dict__.setdefault(_LISTS, {})
            kept[sender] = [(owner, _listed(owner, name)) for owner in owners]
            continue
        for owner, before in instance.__dict__.get(_LISTS, {}).pop(sender, []):
            record_difference(CHANGED, one, owner, {name: before}, {name: _listed(owner, name)})


def _lists_of(sender: Any) -> list[tuple[Tracked, str]]:
    return [
        (one, name)
        for one in registered.values()
        for name in one.lists
        if getattr(one.model, name).through is sender
    ]


def _owners(
    one: Tracked, name: str, end: models.Model, what: str, keys: set[Any] | None
) -> list[models.Model]:
    """The rows whose list changes when the other end is written."""
    rows = one.model._base_manager.all()
    return list(rows.filter(**{name: end}) if what == "clear" else rows.filter(pk__in=keys or ()))


def _listed(owner: models.Model, name: str) -> list[str]:
    return sorted(str(one) for one in getattr(owner, name).all())


def _is_surely_new(instance: models.Model) -> bool:
    """Whether saving must insert; with a key of somebody's choice it may write over a row."""
    return instance._state.adding and (instance.pk is None or instance._meta.pk.has_default())


def _stored(model: type[models.Model], instance: models.Model) -> models.Model | None:
    found: models.Model | None = model._base_manager.filter(pk=instance.pk).first()
    return found
