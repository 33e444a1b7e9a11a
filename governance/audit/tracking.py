"""Registers what is tracked: models, their fields, and how these are compared and shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

from django.db import models, router, transaction
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save

from governance.audit import noticing
from governance.audit.difference import Shown, masked
from governance.audit.registry import Told, Tracked, registered


def track(
    model: type[models.Model],
    *fields: str,
    apart_from: Collection[str] = (),
    with_lists: Collection[str] = (),
    shown: Mapping[str, Shown] | None = None,
    compared: Mapping[str, Shown] | None = None,
    told: Mapping[str, Told] | None = None,
    secret: Collection[str] = (),
    one_row: bool = False,
    by_people_only: bool = False,
    team_of: Callable[[Any], int | None] | None = None,
) -> None:
    """Have changes of `model` in the audit trail, whoever makes them by whichever face.

    All columns count, `apart_from` those that the system keeps for itself and the times at which a
    row was made and saved; or only `fields`, which may also be lists (many-to-many). Lists that
    count beside all columns are named `with_lists`.

    Values of `secret` fields are masked; `shown` writes others differently, and `compared` says
    what is compared in place of a field's value; `told` puts a value in words that depend on its
    row. A row that there is one of is made by itself, with its defaults, which is no change.
    `by_people_only` leaves out what the system does. `team_of` gives the key of the team in whose
    trail a row without a team of its own belongs.
    """
    if model in registered:
        return
    fields = (*(fields or _columns(model, apart_from)), *with_lists)
    lists = tuple(name for name in fields if model._meta.get_field(name).many_to_many)
    registered[model] = Tracked(
        model=model,
        fields=tuple(name for name in fields if name not in lists),
        lists=lists,
        shown={**dict.fromkeys(secret, masked), **(shown or {})},
        compared=dict(compared or {}),
        told=dict(told or {}),
        one_row=one_row,
        by_people_only=by_people_only,
        team_of=team_of,
    )
    _save_in_one_transaction(model)
    pre_save.connect(noticing.before_save, sender=model)
    post_save.connect(noticing.after_save, sender=model)
    pre_delete.connect(noticing.before_delete, sender=model)
    for name in lists:
        m2m_changed.connect(noticing.list_changes, sender=getattr(model, name).through)


def tracked_models() -> frozenset[type[models.Model]]:
    """The models whose changes are in the audit trail."""
    return frozenset(registered)


def _columns(model: type[models.Model], apart_from: Collection[str]) -> tuple[str, ...]:
    return tuple(
        column.name
        for column in model._meta.concrete_fields
        if not column.primary_key
        and not getattr(column, "auto_now", False)
        and not getattr(column, "auto_now_add", False)
        and column.name not in apart_from
    )


def _save_in_one_transaction(model: type[models.Model]) -> None:
    """Keep a saved row and its entry together: Django tells of a save once it is committed."""
    save_base: Any = model.save_base

    @wraps(save_base)
    def save_both(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(model, instance=self)
        with transaction.atomic(using=using):
            save_base(self, *args, **kwargs)

    model.save_base = save_both  # type: ignore[method-assign]
