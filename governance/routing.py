"""Which model a call goes to, and why: a pure decision that explains itself.

In mode `suggest`, the only one so far, the model asked for (or the default) is used, and what would
have been the cheaper choice is published with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from heapq import nsmallest
from typing import Any

from governance.errors import UnknownModel
from governance.money import dollars_text
from governance.parsed_request import ParsedRequest
from governance.pricing import PriceEntry, PricingEstimate, effective, estimate, expected_cost
from providers import candidates
from providers.registry import AUTO, ModelEntry, Registry
from providers.requests import ModelRequest

SUGGEST = "suggest"
NAMES_SHOWN = 5
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
class RoutingDecision:
    """What was chosen and why. Models are named `provider/model`."""

    mode: str
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
    fallbacks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row; amounts stay integer nano-dollars."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["candidates"] = [asdict(candidate) for candidate in self.candidates]
        row["estimate"] = asdict(self.estimate) if self.estimate else None
        return row


@dataclass(frozen=True, slots=True)
class Route:
    """A decision with what making the call takes: the model chosen, then its fallbacks in order."""

    decision: RoutingDecision
    options: tuple[Option, ...]

    @property
    def chosen(self) -> Option:
        """The model chosen."""
        return self.options[0]


def decide(
    asked: ParsedRequest,
    *,
    registry: Registry,
    prices: Mapping[int, Sequence[PriceEntry]],
    task_class: str,
    now: datetime,
) -> Route:
    """Choose the model for `asked`. Raises `UnknownModel` if nothing answers to its name."""
    named = _named(asked, registry)
    options = {
        model.id: Option(model, asked, effective(prices.get(model.id, ()), now))
        for model in registry.models
        if model.role == asked.role
    }
    chosen = min((options[model.id] for model in named), key=Option.preference)
    # The chosen model comes first.
    ordered = candidates.order(
        chosen.model, registry, asked.needs, named=() if asked.model == AUTO else named
    )
    in_order = tuple(options[model.id] for model in candidates.eligible(ordered))
    best = nsmallest(MOST_CANDIDATES, options.values(), key=Option.preference)
    recommended = best[0] if best[0].fits and best[0].merit < chosen.merit else chosen
    considered = best if chosen in best else [*best, chosen]
    default = registry.default(asked.role)
    decision = RoutingDecision(
        mode=SUGGEST,
        task_class=task_class,
        requested=asked.model,
        default=default.qualified_name if default else None,
        recommended=recommended.name,
        actual=chosen.name,
        provider=chosen.model.provider.name,
        model=chosen.model.name,
        action="proceed",
        output_cap=chosen.output_cap,
        reason_codes=_reason_codes(asked, chosen, recommended),
        explanation=tuple(_explain(asked, chosen, recommended)),
        candidates=tuple(option.candidate() for option in considered),
        estimate=chosen.estimate,
        fallbacks=tuple(option.name for option in in_order[1:]),
    )
    return Route(decision, in_order)


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One model, measured against one request."""

    model: ModelEntry
    asked: ParsedRequest
    price: PriceEntry | None
    merit: tuple[bool, bool, int] = field(init=False)

    def __post_init__(self) -> None:
        """The smaller the better: one that fits, then one with a price, then the cheapest."""
        # Every model is measured on every call, so this is all that is worked out of each.
        expected = 0 if self.price is None else expected_cost(self.price, *self.expected_tokens)
        object.__setattr__(self, "merit", (not self.fits, self.price is None, expected))

    @property
    def name(self) -> str:
        return self.model.qualified_name

    @property
    def output_cap(self) -> int:
        return self.asked.output_cap(self.model.max_output_tokens)

    @property
    def fits(self) -> bool:
        """Whether the request, as it is likely to be counted, fits the context window."""
        return self.asked.expected_input < self.model.context_window

    @property
    def estimate(self) -> PricingEstimate | None:
        if self.price is None:
            return None
        expected_input, expected_output = self.expected_tokens
        return estimate(
            self.price,
            input_bound=self.asked.input_bound,
            expected_input=expected_input,
            output_cap=self.output_cap * self.asked.choices,
            expected_output=expected_output,
        )

    @property
    def token_bound(self) -> int:
        """The most tokens of input and output together."""
        return self.asked.input_bound + self.output_bound

    @property
    def output_bound(self) -> int:
        """The most tokens of output, all choices together."""
        return self.output_cap * self.asked.choices

    @property
    def expected_tokens(self) -> tuple[int, int]:
        """The input and the output tokens that are likely."""
        return self.asked.expected_input, self.asked.expected_output(self.output_cap)

    def preference(self) -> tuple[bool, bool, int, str]:
        """By merit, and by name where that is the same."""
        return *self.merit, self.name

    def request(self) -> ModelRequest:
        """The request as it is made of this model."""
        return self.asked.request_for(self.model, self.output_cap)

    def candidate(self) -> Candidate:
        estimated = self.estimate
        return Candidate(
            model=self.name,
            eligible=self.fits,
            reason="fits" if self.fits else "the request is larger than its context window",
            estimate_upper=estimated.upper if estimated else None,
        )


def _named(asked: ParsedRequest, registry: Registry) -> tuple[ModelEntry, ...]:
    if asked.model != AUTO:
        found = registry.find(asked.model, asked.role)
        if not found:
            raise UnknownModel(_unknown(asked, registry), param="model")
        return found
    default = registry.default(asked.role)
    if default is None:
        raise UnknownModel(
            f"There is no default {_role_text(asked.role)} model for “auto” to stand for. Name a "
            "model, or have an administrator mark one as the default.",
            param="model",
        )
    return (default,)


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


def _reason_codes(asked: ParsedRequest, chosen: Option, recommended: Option) -> tuple[str, ...]:
    codes = ["default_model" if asked.model == AUTO else "model_requested"]
    if chosen.price is None:
        codes.append("unpriced")
    if not chosen.fits:
        codes.append("context_window_too_small")
    if recommended is not chosen:
        codes.append(_advantage(chosen, recommended))
    if asked.output_limit is None:
        codes.append("output_capped_by_model")
    elif asked.output_limit > chosen.output_cap:
        codes.append("output_limit_lowered")
    return tuple(codes)


def _advantage(chosen: Option, recommended: Option) -> str:
    if recommended.fits and not chosen.fits:
        return "fitting_available"
    return "priced_available" if chosen.price is None else "cheaper_available"


def _explain(asked: ParsedRequest, chosen: Option, recommended: Option) -> list[str]:
    if asked.model == AUTO:
        said = [f"The call left the choice open, so the default model {chosen.name} is used."]
    else:
        alias = f"“{asked.model}”, which is {chosen.name}"
        said = [f"The call asked for {chosen.name if asked.model == chosen.name else alias}."]
    estimated = chosen.estimate
    if estimated is None:
        said.append("It has no price, so what it costs is not known.")
    else:
        said.append(
            f"It may cost up to {dollars_text(estimated.upper)}, with at most "
            f"{chosen.output_cap * asked.choices:,} output tokens."
        )
    if not chosen.fits:
        said.append(
            "The request is probably larger than its context window of "
            f"{chosen.model.context_window:,} tokens."
        )
    if recommended is not chosen:
        other = recommended.estimate
        cost = f"would cost up to {dollars_text(other.upper)}" if other else "has no price"
        said.append(f"{recommended.name} {cost}; the mode is “suggest”, so this is only published.")
    return said
