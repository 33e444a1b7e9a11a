"""What another routing mode would have changed of calls that were made: pure.

Each call's row says what was recommended and what was used, so a call is decided again without its
text. Its cost elsewhere is that of the same tokens at the other model's price: another model may
have said more, or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from governance.routing.modes import DRY_RUN, ENFORCED
from providers.registry import AUTO
from providers.usage import Usage

# Who says which mode holds, where a team's own mode would have the say instead.
BELOW_TEAM = frozenset({"team", "auto", "installation"})
PriceOf = Callable[[str, datetime, Usage], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """What the ledger knows of a decision. Models are `provider/model`; `other` is the one compared
    with, empty if none was. Costs are nano-dollars. `stands_for` is how many calls it is one of."""

    team_id: int
    requested: str
    mode: str
    mode_source: str
    recommended: str
    actual: str
    other: str
    is_degraded: bool
    cost: int
    other_cost: int | None
    usage: Usage
    at: datetime
    stands_for: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """Another mode for a team, or for the installation if `team_id` is None. An empty `mode` has
    the team take the `installation`'s again."""

    team_id: int | None
    mode: str
    installation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Calls that would have gone elsewhere, and what they cost and would have cost."""

    model: str
    instead: str
    calls: int
    cost: int
    would_cost: int

    @property
    def saves(self) -> int:
        """What it would have saved; negative where it costs more."""
        return self.cost - self.would_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeForecast:
    """What the change would have come to. Counts and costs are of all calls of the time, estimated
    from those looked at unless `is_exact`.

    `affected` are those for which the mode would have been another, `unknown` those that would have
    gone to a model whose cost, or which itself, is not known; they are in no sum.
    """

    looked_at: int
    calls: int
    affected: int
    unknown: int
    moves: tuple[Move, ...]

    @property
    def is_exact(self) -> bool:
        """Whether every call was looked at."""
        return self.looked_at >= self.calls

    @property
    def moved(self) -> int:
        """How many calls would have gone to another model, at a cost that is known."""
        return sum(one.calls for one in self.moves)

    @property
    def cost(self) -> int:
        """What those cost."""
        return sum(one.cost for one in self.moves)

    @property
    def would_cost(self) -> int:
        """What those would have cost."""
        return sum(one.would_cost for one in self.moves)

    @property
    def saves(self) -> int:
        """The difference; negative where it costs more."""
        return self.cost - self.would_cost


def mode_after(call: StoredCall, change: ModeChange) -> str:
    """The mode that would have held for the call: what is said nearest to it counts."""
    if change.team_id is None:
        return change.mode if call.mode_source == "installation" else call.mode
    if call.team_id != change.team_id or call.mode_source not in BELOW_TEAM:
        return call.mode
    if change.mode:
        return change.mode
    return ENFORCED if call.requested == AUTO else change.installation


def model_after(call: StoredCall, mode: str) -> str:
    """The model that would have been used in that mode; empty if the row does not say."""
    if (mode == ENFORCED) == (call.mode == ENFORCED) or call.is_degraded:
        # Where budgets took a cheaper model, they would have had to be asked again.
        return call.actual
    return call.recommended if mode == ENFORCED else call.other


def forecast(
    calls: Iterable[StoredCall], change: ModeChange, *, price_of: PriceOf, population: int
) -> ModeForecast:
    """What `change` would have come to for `population` calls, of which `calls` were looked at.

    `price_of` tells what a usage costs at a model at a time, None where that is not known.
    """
    looked_at = 0
    affected = unknown = Fraction(0)
    moved: dict[tuple[str, str], list[Fraction]] = {}
    for call in calls:
        looked_at += 1
        mode = mode_after(call, change)
        if mode == call.mode:
            continue
        affected += call.stands_for
        model = model_after(call, mode)
        if model == call.actual:
            continue
        would_cost = _cost_at(call, model, price_of) if model else None
        if would_cost is None:
            unknown += call.stands_for
            continue
        sums = moved.setdefault((call.actual, model), [Fraction(0)] * 3)
        for place, amount in enumerate((1, call.cost, would_cost)):
            sums[place] += call.stands_for * amount
    moves = (_move(models, sums) for models, sums in moved.items())
    return ModeForecast(
        looked_at=looked_at,
        calls=population,
        affected=round(affected),
        unknown=round(unknown),
        moves=tuple(sorted(moves, key=lambda one: (-abs(one.saves), one.model, one.instead))),
    )


def _move(models: tuple[str, str], sums: list[Fraction]) -> Move:
    calls, cost, would_cost = (round(one) for one in sums)
    return Move(model=models[0], instead=models[1], calls=calls, cost=cost, would_cost=would_cost)


def _cost_at(call: StoredCall, model: str, price_of: PriceOf) -> int | None:
    """What the call would have cost there: as the ledger has it where it compared the two."""
    if model == call.other and call.other_cost is not None and call.mode in (DRY_RUN, ENFORCED):
        return call.other_cost
    return price_of(model, call.at, call.usage)
