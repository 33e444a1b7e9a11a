"""Reading the audit trail: an object's entries, and each change in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import QuerySet
from django.utils.text import capfirst

from governance.listing import listed
from governance.models import AuditEntry

NOTHING = "–"
# The types of objects whose entries take a permission beside the trail's own.
SEEN_WITH = {
    "auth.user": "auth.view_user",
    "auth.group": "auth.view_group",
    "providers.secret": "providers.view_secret",
    "providers.credential": "providers.view_credential",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field's change, in words."""

    field: str
    before: str
    after: str


def entries_for(may: Callable[[str], bool]) -> QuerySet[AuditEntry]:
    """The entries that somebody sees who may read the trail, given which permissions they hold.

    What people and secrets are is seen in the trail by those alone who see it on their own pages:
    people's addresses and rights, their sign-ins, and where secrets are kept.
    """
    unseen = [label for label, permission in SEEN_WITH.items() if not may(permission)]
    found: QuerySet[AuditEntry] = AuditEntry.objects.all()
    return found.exclude(object_type__in=unseen) if unseen else found


def entries_of(row: models.Model) -> QuerySet[AuditEntry]:
    """What was done to an object, the latest first."""
    found: QuerySet[AuditEntry] = AuditEntry.objects.filter(
        object_type=row._meta.label_lower, object_id=str(row.pk)
    )
    return found


def type_name(label: str) -> str:
    """A type of objects, as people call it."""
    model = _model(label)
    return label if model is None else capfirst(str(model._meta.verbose_name))


def changes_in_words(entry: AuditEntry) -> list[Change]:
    """An entry's changes, in the order they were recorded."""
    model = _model(entry.object_type)
    return [
        Change(_field_name(model, name), *(_in_words(one) for one in both))
        for name, both in entry.changes.items()
    ]


def summary(entry: AuditEntry) -> str:
    """The changes in one line."""
    model = _model(entry.object_type)
    return ", ".join(_field_name(model, name) for name in entry.changes)


def _model(label: str) -> type[models.Model] | None:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


def _column(model: type[models.Model] | None, name: str) -> Any:
    try:
        return None if model is None else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _field_name(model: type[models.Model] | None, name: str) -> str:
    column = _column(model, name)
    # Rows of another table that belong to this one have a name of their own only.
    return str(getattr(column, "verbose_name", name))


def _in_words(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return listed(_in_words(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
