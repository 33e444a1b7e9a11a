"""What was decided of a call, as the ledger keeps it and every surface shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from governance.complexity import ComplexityScore
from governance.pricing import PricingEstimate

# Every call's row keeps its candidates, so of a long list only the best are published.
MOST_CANDIDATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that was considered. `estimate_upper` is nano-dollars, None without a price."""

    model: str
    eligible: bool
    reason: str
    estimate_upper: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The other choice, which the actual one is compared with: in a dry run the recommended model,
    where routing is enforced the one used without it. `expected` is nano-dollars."""

    model: str
    price_id: int | None
    expected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """What was chosen and why. Models are named `provider/model`.

    `mode_source` says where the mode came from. `score` is None for what cannot be scored, `health`
    is empty unless something is known against the provider, and so is `credential` unless there is
    only one. `budget` is the gravest that the budgets say, once they are asked.
    """

    mode: str
    mode_source: str
    task_class: str
    requested: str
    default: str | None
    recommended: str
    actual: str
    provider: str
    model: str
    action: str
    output_cap: int
    reason_codes: tuple[str, ...]
    explanation: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    estimate: PricingEstimate | None
    score: ComplexityScore | None = None
    health: str = ""
    credential: str = ""
    compared: Compared | None = None
    fallbacks: tuple[str, ...] = ()
    budget: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row; amounts stay integer nano-dollars."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["candidates"] = [asdict(candidate) for candidate in self.candidates]
        row["estimate"] = asdict(self.estimate) if self.estimate else None
        row["score"] = self.score.as_json() if self.score else None
        row["compared"] = asdict(self.compared) if self.compared else None
        return row
