"""Which models a call would be tried at, in which order and why: the engine's own order, with what
stands in the way at this moment."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from providers.candidates import Considered, Needs, order
from providers.condition import ProviderCondition, conditions
from providers.models import Provider
from providers.registry import AUTO, ModelEntry, Registry


class NoSuchModel(Exception):
    """No model answers to the name; `args` say so, with names that are like it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A model that was considered. `obstacle` is why it would be passed over now, if it would."""

    model: ModelEntry
    eligible: bool
    reason: str
    obstacle: str

    @property
    def would_be_tried(self) -> bool:
        """Whether a call that gets this far is sent to it."""
        return self.eligible and not self.obstacle


def explain(name: str, registry: Registry, needs: Needs, now: datetime) -> tuple[Explained, ...]:
    """The candidates for a call to `name` in their order, then those that are none.

    Raises `NoSuchModel`.
    """
    chosen, named = _chosen(name, registry, needs.role)
    considered = order(chosen, registry, needs, named=named)
    known = {one.provider.pk: one for one in conditions(Provider.objects.all(), now)}
    return tuple(_explained(one, known) for one in considered)


def _chosen(name: str, registry: Registry, role: str) -> tuple[ModelEntry, tuple[ModelEntry, ...]]:
    if name == AUTO:
        default = registry.default(role)
        if default is None:
            raise NoSuchModel(
                f"“auto” stands for no model: none is the default for {role.replace('_', ' ')}. "
                "Choose one with `palyra models set`."
            )
        return default, ()
    named = registry.find(name, role)
    if not named:
        raise NoSuchModel(_not_found(name, registry, role))
    return named[0], named


def _not_found(name: str, registry: Registry, role: str) -> str:
    names = [model.name for model in registry.models if model.role == role]
    names += [model.qualified_name for model in registry.models if model.role == role]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean “{close[0]}”?" if close else ""
    return f"No enabled model for {role.replace('_', ' ')} answers to “{name}”.{hint}"


def _explained(considered: Considered, known: Mapping[int, ProviderCondition]) -> Explained:
    condition = known.get(considered.model.provider.id)
    obstacle = _obstacle(condition) if condition is not None and considered.eligible else ""
    return Explained(considered.model, considered.eligible, considered.reason, obstacle)


def _obstacle(condition: ProviderCondition) -> str:
    if condition.lacks_credential:
        faults = [one.fault for one in condition.credentials if one.fault]
        return faults[0] if faults else ""
    return condition.breakers[0].says if condition.refuses else ""
