"""Why a model may not be recommended for a call, in a code and in words: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from governance.money import dollars_text
from governance.routing.conditions import FULL, Conditions
from governance.routing.options import Option
from providers.candidates import Needs, rehearsed, same_model, unable
from providers.models import ModelRole
from providers.registry import ModelEntry

UNHEALTHY, BUSY, BUDGET = "unhealthy", "no_place_free", "budget_too_small"
# What keeps a model from a call only for now: where failover is on, its stand-ins take over.
PASSING = frozenset({UNHEALTHY, BUSY})
UNPRICED, TOO_LARGE = "no_price", "too_large"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a model is none of those that may be recommended."""

    code: str
    reason: str


def allows(patterns: Iterable[str], model: ModelEntry) -> bool:
    """Whether a team with those patterns of `provider/model` may use the model; none allow all."""
    patterns = tuple(patterns)
    name = model.qualified_name
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def exclusion(
    option: Option, baseline: Option, *, needs: Needs, allowed: bool, conditions: Conditions
) -> Exclusion | None:
    """What speaks against `option` in a call that would otherwise go to `baseline`, if anything."""
    if not allowed:
        return Exclusion("not_allowed", "The team may not use it.")
    return (
        _unlike(option.model, baseline.model)
        or _cannot(option, needs)
        or _not_now(option, conditions)
        or _unpaid(option, conditions)
    )


def _unlike(model: ModelEntry, baseline: ModelEntry) -> Exclusion | None:
    if model is baseline:
        return None
    reason = rehearsed(model, baseline)
    if reason:
        return Exclusion("rehearsal", reason)
    if model.role == ModelRole.EMBEDDINGS and not same_model(model, baseline):
        return Exclusion(
            "other_vectors", "Another model's embeddings cannot be compared with those asked for."
        )
    return None


def _cannot(option: Option, needs: Needs) -> Exclusion | None:
    if not option.fits:
        return Exclusion(TOO_LARGE, "The request is larger than its context window.")
    reason = unable(option.model, needs)
    return Exclusion("not_capable", reason) if reason else None


def _not_now(option: Option, conditions: Conditions) -> Exclusion | None:
    provider = option.model.provider.id
    reason = conditions.unhealthy.get(provider)
    if reason:
        return Exclusion(UNHEALTHY, reason)
    if conditions.lease_pressure.get(provider, 0.0) >= FULL:
        return Exclusion(BUSY, "All places at its provider are taken.")
    return None


def _unpaid(option: Option, conditions: Conditions) -> Exclusion | None:
    if option.price is None:
        return Exclusion(UNPRICED, "It has no price, so what it costs is not known.")
    remaining = conditions.remaining.get(option.model.id)
    if remaining is not None and option.expected_cost > remaining:
        return Exclusion(
            BUDGET,
            f"It would probably cost {dollars_text(option.expected_cost)}, and budgets leave "
            f"{dollars_text(remaining)}.",
        )
    return None
