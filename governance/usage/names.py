"""What reports break down by, and what each of its values is called."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from governance.models import ApiKey, Team
from governance.usage.adding import Key

# By the name in reports, the columns of the sums.
COLUMNS = {
    "team": ("team_id",),
    "key": ("api_key_id",),
    "person": ("user_id",),
    "job": ("job",),
    "provider": ("provider",),
    "model": ("provider", "model"),
    "task_class": ("task_class",),
    "routing_mode": ("routing_mode",),
}
GONE = "(deleted)"
NOBODY = {
    "key": "(no key)",
    "person": "(nobody)",
    "job": "(no job)",
    "provider": "(none)",
    "model": "(none)",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A value of a dimension: what the API knows it by (empty for none), and its name."""

    value: str
    label: str


REST = Named("", "(all the rest)")


def named(by: str, keys: Collection[Key]) -> dict[Key, Named]:
    """Each of `keys` by name: one query at most."""
    if by not in _ROWS:
        return {key: _plain(by, "/".join(str(part) for part in key if part)) for key in keys}
    known = {pk: Named(*texts) for pk, *texts in _ROWS[by]([key[0] for key in keys if key[0]])}
    gone = {key: Named(str(key[0]), GONE) for key in keys}
    return {key: known.get(key[0], gone[key]) if key[0] else _plain(by, "") for key in keys}


def _plain(by: str, value: str) -> Named:
    return Named(value, value or NOBODY.get(by, ""))


def _teams(ids: Collection[int]) -> Any:
    return Team.objects.filter(pk__in=ids).order_by().values_list("pk", "slug", "name")


def _keys(ids: Collection[int]) -> Any:
    return ApiKey.objects.filter(pk__in=ids).order_by().values_list("pk", "public_id", "name")


def _people(ids: Collection[int]) -> Any:
    return User.objects.filter(pk__in=ids).order_by().values_list("pk", "username", "username")


_ROWS = {"team": _teams, "key": _keys, "person": _people}
