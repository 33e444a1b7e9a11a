"""Adding an entry to the audit trail, in the transaction of the change itself."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from governance import acting
from governance.audit.difference import Changes, Values, difference
from governance.audit.registry import Tracked, tracked
from governance.models import AuditEntry, Team

ADDED = "added"
CHANGED = "changed"
DELETED = "deleted"


def record(action: str, row: models.Model, changes: Changes, *, reason: str = "") -> AuditEntry:
    """Say that `action` was done to `row` by whoever is acting. `changes` has no secrets."""
    who = acting.current()
    return AuditEntry.objects.create(
        at=timezone.now(),
        user_id=who.user_id,
        actor=who.actor[:200],
        surface=who.surface,
        address=who.address[:64],
        action=action,
        object_type=row._meta.label_lower,
        object_id="" if row.pk is None else str(row.pk),
        object_name=str(row)[:300],
        team_id=_team_of(row),
        changes=changes,
        reason=reason[:500],
    )


def _team_of(row: models.Model) -> int | None:
    """The team in whose trail the row's entries are."""
    one = tracked(type(row))
    if one is not None and one.team_of is not None:
        return one.team_of(row)
    found: int | None = row.pk if isinstance(row, Team) else getattr(row, "team_id", None)
    return found


def record_difference(
    action: str, one: Tracked, row: models.Model, before: Values, after: Values
) -> None:
    """An entry of what differs between two states of a tracked row; none if nothing does."""
    if one.by_people_only and acting.current().is_system:
        return
    differing = [
        name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)
    ]
    changes = difference(
        _in_words(one, row, before, differing), _in_words(one, row, after, differing), one.shown
    )
    if changes or action != CHANGED:
        record(action, row, changes)


def _in_words(one: Tracked, row: models.Model, values: Values, names: list[str]) -> dict[str, Any]:
    return {name: one.in_words(row, name, values[name]) for name in names if name in values}
