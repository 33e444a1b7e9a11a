"""Which of the models that may be used is best for a call: one rule for each task class, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from governance.complexity import ComplexityScore
from governance.models import TaskClass
from governance.routing.options import Option

STRONGEST_FROM = 0.75
CHEAPEST_TO = 0.35
_CAPABILITIES = ("tools", "json_mode", "vision", "audio")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The model that a rule picks, and the rule's code."""

    option: Option
    rule: str


def recommend(
    baseline: Option,
    eligible: Sequence[Option],
    *,
    task_class: str,
    score: ComplexityScore | None,
) -> Recommendation:
    """The best of `eligible` for a call of that class; `baseline` is what is used without routing,
    and stays wherever nothing is better. A call that cannot be scored keeps it."""
    if task_class == TaskClass.PRIMARY_INTERACTIVE:
        return _by_score(baseline, eligible, score)
    # Nothing that runs by itself may cost more than it would without routing.
    within = [option for option in eligible if _costs_no_more(option, baseline)]
    if not within:
        return Recommendation(baseline, "nothing_within_cost")
    if task_class == TaskClass.AUXILIARY_CLASSIFICATION:
        fastest = min(
            within,
            key=lambda one: (one.model.latency_tier, one.expected_cost, one is not baseline),
        )
        return Recommendation(fastest, "low_latency")
    return Recommendation(_cheapest(baseline, within), "low_cost")


def _by_score(
    baseline: Option, eligible: Sequence[Option], score: ComplexityScore | None
) -> Recommendation:
    if score is not None and score.total >= STRONGEST_FROM:
        return Recommendation(_strongest(baseline, eligible), "score_high")
    if score is not None and score.total <= CHEAPEST_TO:
        return Recommendation(_cheapest(baseline, eligible), "score_low")
    kept = baseline if baseline in eligible else _cheapest(baseline, eligible)
    return Recommendation(kept, "not_scored" if score is None else "score_middle")


def _costs_no_more(option: Option, baseline: Option) -> bool:
    if option is baseline:
        return True
    if baseline.price is None:
        return option.model.cost_tier <= baseline.model.cost_tier
    return option.expected_cost <= baseline.expected_cost


def _cheapest(baseline: Option, eligible: Sequence[Option]) -> Option:
    return min(
        eligible,
        key=lambda one: (one.expected_cost, one is not baseline, one.name),
        default=baseline,
    )


def _strongest(baseline: Option, eligible: Sequence[Option]) -> Option:
    """The highest cost tier, then the most abilities, then the larger context window."""
    return min(
        eligible,
        key=lambda one: (
            *(-measure for measure in _strength(one)),
            one is not baseline,
            one.expected_cost,
            one.name,
        ),
        default=baseline,
    )


def _strength(option: Option) -> tuple[int, int, int]:
    model = option.model
    able = sum(getattr(model, name) for name in _CAPABILITIES)
    return model.cost_tier, able, model.context_window
