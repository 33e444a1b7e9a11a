"""The models that are tracked, and how their rows are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from governance.audit.difference import Shown
from governance.fields import NanoDollarsField
from governance.money import from_nano_dollars

# A value of a row, in words that only the row can tell.
Told = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A model, its tracked fields, and its tracked lists (many-to-many fields)."""

    model: type[models.Model]
    fields: tuple[str, ...]
    lists: tuple[str, ...]
    shown: Mapping[str, Shown]
    compared: Mapping[str, Shown]
    told: Mapping[str, Told]
    one_row: bool
    by_people_only: bool
    team_of: Callable[[Any], int | None] | None

    def concerns(self, names: Collection[str] | None) -> bool:
        """Whether writing those fields, or all, writes a tracked one."""
        if names is None:
            return True
        columns = {self.model._meta.get_field(one).attname for one in self.fields}  # type: ignore[union-attr]
        return not columns.union(self.fields).isdisjoint(names)

    def values(self, row: models.Model) -> dict[str, Any]:
        """What is compared of a row."""
        read = {name: row.serializable_value(name) for name in self.fields}
        for name, print_of in self.compared.items():
            read[name] = print_of(read[name])
        return read

    def defaults(self) -> dict[str, Any]:
        """What a row has that nobody has changed."""
        return self.values(self.model())

    def in_words(self, row: models.Model, name: str, value: Any) -> Any:
        """A reference by its name and key, money in dollars; any other value as it is."""
        column: Any = self.model._meta.get_field(name)
        if value is None or column.many_to_many:
            return value
        if name in self.told:
            return self.told[name](row, value)
        if isinstance(column, NanoDollarsField):
            return exact_dollars(value)
        if not column.is_relation:
            return value
        found = column.related_model._base_manager.filter(pk=value).first()
        return f"{found} ({value})" if found is not None else str(value)


registered: dict[type[models.Model], Tracked] = {}


def exact_dollars(amount: int) -> str:
    """Nano-dollars, to the last place that is not zero."""
    return f"${from_nano_dollars(amount).normalize():f}"


def tracked(model: type[models.Model]) -> Tracked | None:
    """How `model` is tracked, if it is."""
    return registered.get(model)
