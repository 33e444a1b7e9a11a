"""What the caller asked for by name, or left open: pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

from governance.errors import ModelNotAllowed, UnknownModel
from governance.parsed_request import ParsedRequest
from governance.routing.options import Option
from providers.registry import AUTO, ModelEntry, Registry

NAMES_SHOWN = 5


def named_models(
    asked: ParsedRequest, registry: Registry, permitted: Set[int]
) -> tuple[ModelEntry, ...]:
    """The models that the caller named and its team may use; none for `auto`."""
    if asked.model == AUTO:
        return ()
    found = registry.find(asked.model, asked.role)
    if not found:
        raise UnknownModel(_unknown(asked, registry), param="model")
    named = tuple(model for model in found if model.id in permitted)
    if not named:
        raise ModelNotAllowed(
            f"Your team may not use “{asked.model}”. Name another model, or “auto”, or have an "
            "administrator allow it.",
            param="model",
        )
    return named


def baseline_of(
    asked: ParsedRequest,
    registry: Registry,
    named: tuple[ModelEntry, ...],
    options: Mapping[int, Option],
    permitted: Set[int],
) -> Option:
    """What is used without routing: the best of that name, or the default; where the team may not
    use the default, the best it may."""
    if asked.model != AUTO:
        return min((options[model.id] for model in named), key=Option.preference)
    default = registry.default(asked.role)
    if default is None:
        raise UnknownModel(
            f"There is no default {_role_text(asked.role)} model for “auto” to stand for. Name a "
            "model, or have an administrator mark one as the default.",
            param="model",
        )
    if default.id in permitted:
        return options[default.id]
    if not permitted:
        raise ModelNotAllowed(
            f"Your team may use no {_role_text(asked.role)} model that is enabled.", param="model"
        )
    return min((options[key] for key in permitted), key=Option.preference)


def _role_text(role: str) -> str:
    return role.replace("_", " ")


def _unknown(asked: ParsedRequest, registry: Registry) -> str:
    name = asked.model
    known = sorted({model.name for model in registry.models if model.role == asked.role})
    other = next((model for model in registry.models if model.name == name), None)
    if other is not None:
        return f"“{name}” is a model for {_role_text(other.role)}, not {_role_text(asked.role)}."
    if not known:
        return f"There is no model “{name}”: no {_role_text(asked.role)} model is enabled yet."
    shown = ", ".join(known[:NAMES_SHOWN]) + (" and others" if len(known) > NAMES_SHOWN else "")
    return f"There is no model “{name}”. Enabled are: {shown}."
