"""Why a decision is what it is, in codes for programs and in sentences for people: pure."""

from __future__ import annotations

from dataclasses import dataclass

from governance.complexity import ComplexityScore
from governance.money import dollars_text
from governance.parsed_request import ParsedRequest
from governance.pricing import PricingEstimate
from governance.routing.exclusions import TOO_LARGE, UNPRICED, Exclusion
from governance.routing.modes import DRY_RUN, ENFORCED, Mode
from governance.routing.options import Option
from governance.routing.rules import CHEAPEST_TO, STRONGEST_FROM, Recommendation
from providers.registry import AUTO

# The reason code of a call that the budgets pay for in part.
CLAMPED = "output_clamped"
# And of one that goes to a cheaper model, because they do not pay for the one chosen.
DEGRADED = "degraded"
# And of one whose input was counted, because they do not pay for as much as it might have been.
COUNTED = "input_counted"
# What two decimals can show.
LEAST_SHOWN = 0.005
RULES = {
    "score_high": "a request this complex goes to the strongest model",
    "score_low": "a request this simple goes to the cheapest model",
    "score_middle": "a request of this complexity stays where it is, if it can be taken there",
    "not_scored": "such a request stays where it is, if it can be taken there",
    "low_cost": "work of this class goes to the cheapest model",
    "low_latency": "work of this class goes to the fastest model that costs no more",
    "nothing_within_cost": "no other model that can take it costs as little",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision in its parts: `baseline` is used without routing, and `against` is what speaks
    against it, if anything; `default` is what `auto` stands for."""

    asked: ParsedRequest
    baseline: Option
    best: Recommendation
    chosen: Option
    mode: Mode
    score: ComplexityScore | None
    against: Exclusion | None
    default: str | None

    @property
    def default_left_out(self) -> bool:
        """Whether another stands for the default, which the team may not use."""
        return self.asked.model == AUTO and self.baseline.name != self.default


def reason_codes(choice: Choice) -> tuple[str, ...]:
    """What led to the choice, most important first."""
    asked, chosen = choice.asked, choice.chosen
    codes = ["default_model" if asked.model == AUTO else "model_requested"]
    if choice.default_left_out:
        codes = ["default_not_allowed"]
    if chosen.price is None:
        codes.append("unpriced")
    if not chosen.fits:
        codes.append("context_window_too_small")
    if choice.best.option is not choice.baseline:
        codes.append(_advantage(choice))
    if choice.against is not None and choice.against.code not in {TOO_LARGE, UNPRICED}:
        codes.append(f"baseline_{choice.against.code}")
    codes.append(choice.best.rule)
    if asked.output_limit is None:
        codes.append("output_capped_by_model")
    elif asked.output_limit > chosen.output_cap:
        codes.append("output_limit_lowered")
    return tuple(codes)


def _advantage(choice: Choice) -> str:
    best, baseline = choice.best, choice.baseline
    if choice.against is not None:
        return {TOO_LARGE: "fitting_available", UNPRICED: "priced_available"}.get(
            choice.against.code, "usable_available"
        )
    if best.rule == "score_high":
        return "stronger_available"
    faster = best.option.model.latency_tier < baseline.model.latency_tier
    return "faster_available" if best.rule == "low_latency" and faster else "cheaper_available"


def explain(choice: Choice) -> list[str]:
    """The decision in sentences."""
    said = [_asked(choice)]
    if choice.chosen is not choice.baseline:
        said.append(f"Routing is enforced, so {choice.chosen.name} is used instead.")
    said += _price(choice)
    if not choice.chosen.fits:
        said.append(
            "The request is probably larger than its context window of "
            f"{choice.chosen.model.context_window:,} tokens."
        )
    said += _recommendation(choice)
    if choice.against is not None and choice.against.code not in {TOO_LARGE, UNPRICED}:
        said.append(f"Against {choice.baseline.name}: {choice.against.reason}")
    said.append(f"The rule: {RULES[choice.best.rule]}.")
    if choice.score is not None:
        said.append(_score(choice.score))
    said.append(f"The routing mode is “{choice.mode.name}”, because {choice.mode.why}.")
    return said


def clamping(held: Option, cap: int, cost: PricingEstimate | None) -> str:
    """That the answer may be shorter than was asked for, why, and what it may cost then."""
    said = (
        f"The budgets pay for no more than {cap:,} of the {held.output_cap:,} output tokens that "
        f"{held.name} was asked for, so it is asked for that many"
    )
    return f"{said}, which cost up to {dollars_text(cost.upper)}." if cost else f"{said}."


def counting(option: Option) -> str:
    """That the input was counted, and what that changed."""
    return (
        f"The budgets do not pay for as many input tokens as the request has bytes at most, "
        f"{option.asked.input_bound:,}, so its texts were counted as {option.name} does: it has at "
        f"most {option.input_bound:,}."
    )


def degrading(chosen: Option, option: Option, because: str) -> str:
    """That a cheaper model is used, and which budget wants it so."""
    return f"{because} So the cheaper {option.name} is used in place of {chosen.name}."


def _asked(choice: Choice) -> str:
    asked, name = choice.asked, choice.baseline.name
    if asked.model != AUTO:
        alias = f"“{asked.model}”, which is {name}"
        return f"The call asked for {name if asked.model == name else alias}."
    if choice.default_left_out:
        return (
            f"The call left the choice open; the team may not use the default model "
            f"{choice.default}, and {name} stands for it."
        )
    if choice.chosen is choice.baseline:
        return f"The call left the choice open, so the default model {name} is used."
    return f"The call left the choice open; the default model is {name}."


def _price(choice: Choice) -> list[str]:
    estimated = choice.chosen.estimate
    if estimated is None:
        return ["It has no price, so what it costs is not known."]
    return [
        f"It may cost up to {dollars_text(estimated.upper)}, with at most "
        f"{choice.chosen.output_bound:,} output tokens."
    ]


def _recommendation(choice: Choice) -> list[str]:
    """What is better or what was left, whichever is not used."""
    if choice.best.option is choice.baseline:
        return []
    enforced = choice.mode.name == ENFORCED
    other = choice.baseline if enforced else choice.best.option
    estimated = other.estimate
    cost = f"would cost up to {dollars_text(estimated.upper)}" if estimated else "has no price"
    if enforced:
        return [f"{other.name} {cost}."]
    does = "recorded" if choice.mode.name == DRY_RUN else "published"
    return [f"{other.name} {cost}; the mode is “{choice.mode.name}”, so this is only {does}."]


def _score(score: ComplexityScore) -> str:
    found = sorted(score.components, key=lambda one: -one.share)
    parts = ", ".join(
        f"{one.name.replace('_', ' ')} {one.share:.2f}"
        for one in found[:3]
        if one.share >= LEAST_SHOWN
    )
    level = "low" if score.total <= CHEAPEST_TO else "middling"
    level = "high" if score.total >= STRONGEST_FROM else level
    return f"Its complexity is {score.total:.2f} of 1, which is {level}" + (
        f" ({parts})." if parts else "."
    )
