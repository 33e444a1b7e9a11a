"""A call that was not made, as the page tells it: which model and why, at what cost, on whose
budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from governance.admin.story import OUTCOMES, Part
from governance.amounts import amount_text
from governance.budgets import BudgetEvaluation
from governance.calls import Foreseen
from governance.complexity import ComplexityScore
from governance.display import dollars
from governance.pricing import PricingEstimate
from governance.routing import Candidate, RoutingDecision
from governance.routing.modes import SOURCES
from providers.display import NOTHING, Tone

MODES = {"suggest": "Suggest", "dry_run": "Dry run", "enforced": "Enforced"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """A model that was considered; `marks` are what the decision calls it."""

    model: str
    marks: tuple[tuple[str, Tone], ...]
    is_eligible: bool
    says: str
    may_cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """What one policy says of the call, and what it would have left while the call is under way."""

    policy: str
    policy_id: int
    outcome: str
    tone: Tone
    limit: str
    used: str
    asks: str
    left: str
    resets_at: datetime | None
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What would become of the call."""

    headline: str
    tone: Tone
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    candidates: tuple[CandidateRow, ...]
    score: str
    parts: tuple[Part, ...]
    budgets: tuple[BudgetRow, ...]


def explained(foreseen: Foreseen) -> Explained:
    """`foreseen` in words."""
    decision = foreseen.decision
    headline, tone = _headline(decision)
    return Explained(
        headline=headline,
        tone=tone,
        sentences=decision.explanation,
        facts=tuple(_facts(decision)),
        candidates=tuple(_candidate(one, decision) for one in decision.candidates),
        score=f"{decision.score.total:.2f} of 1" if decision.score else "",
        parts=_parts(decision.score),
        budgets=tuple(_budget(said) for said in foreseen.evaluations),
    )


def _headline(decision: RoutingDecision) -> tuple[str, Tone]:
    name = decision.actual
    if decision.action == "blocked":
        return "A budget would refuse this call.", "bad"
    if decision.action == "approval_required":
        return "This call would need approval.", "warning"
    if decision.action == "failover":
        return f"{name} cannot be called now, so the call would go on elsewhere.", "warning"
    if decision.action == "degrade":
        return f"This call would go to the cheaper {name}.", "warning"
    return f"This call would go to {name}.", "good"


def _facts(decision: RoutingDecision) -> list[tuple[str, str]]:
    facts = [
        ("Expected cost", _expected(decision.estimate)),
        ("At most", _most(decision.estimate)),
        ("Output", f"at most {decision.output_cap:,} tokens"),
        ("Routing", f"{MODES[decision.mode]}, because {SOURCES[decision.mode_source]}"),
    ]
    if decision.compared is not None:
        expected = decision.compared.expected
        cost = "which has no price" if expected is None else f"{dollars(expected)} expected"
        facts.append(("Compared with", f"{decision.compared.model}, {cost}"))
    if decision.fallbacks:
        facts.append(("If it fails", ", then ".join(decision.fallbacks)))
    return facts


def _expected(estimate: PricingEstimate | None) -> str:
    return "Not known: it has no price" if estimate is None else dollars(estimate.expected)


def _most(estimate: PricingEstimate | None) -> str:
    if estimate is None:
        return "Not known"
    exact = "" if estimate.precision == "exact" else ", by an estimated price"
    return f"{dollars(estimate.upper)}{exact}"


def _candidate(one: Candidate, decision: RoutingDecision) -> CandidateRow:
    marks: list[tuple[str, Tone]] = []
    if one.model == decision.actual:
        marks.append(("Would be used", "good"))
    if one.model == decision.recommended:
        marks.append(("Recommended", "busy"))
    if one.model == decision.default:
        marks.append(("Default", "quiet"))
    most = one.estimate_upper
    return CandidateRow(
        model=one.model,
        marks=tuple(marks),
        is_eligible=one.eligible,
        says="" if one.eligible else one.reason,
        may_cost=f"up to {dollars(most)}" if most is not None else "No price",
    )


def _parts(score: ComplexityScore | None) -> tuple[Part, ...]:
    if score is None:
        return ()
    return tuple(Part.of(one.name, one.value, one.share) for one in score.components)


def _budget(said: BudgetEvaluation) -> BudgetRow:
    outcome, tone = OUTCOMES.get(said.outcome, (said.outcome, "quiet"))

    def text(amount: int | None, absent: str) -> str:
        return absent if amount is None else amount_text(said.metric, amount)

    return BudgetRow(
        policy=said.policy,
        policy_id=said.policy_id,
        outcome=outcome,
        tone=tone,
        limit=text(said.limit, "No hard limit"),
        used=text(said.consumed + said.held, NOTHING),
        asks=text(said.requested, "Unknown"),
        left=NOTHING if said.blocks else text(said.remaining, "No hard limit"),
        resets_at=said.resets_at,
        explanation=said.explanation,
    )
