"""A model measured against a request: what it may cost there, and whether the request fits."""

from __future__ import annotations

from dataclasses import dataclass, field

from governance.parsed_request import ParsedRequest
from governance.pricing import PriceEntry, PricingEstimate, estimate, expected_cost
from providers.registry import ModelEntry
from providers.requests import ModelRequest


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One model, measured against one request; with `cap`, no more output than that is asked of
    it for each choice, and with `counted` its input is no more than that."""

    model: ModelEntry
    asked: ParsedRequest
    price: PriceEntry | None
    cap: int | None = None
    counted: int | None = None
    merit: tuple[bool, bool, int] = field(init=False)

    def __post_init__(self) -> None:
        """The smaller the better: one that fits, then one with a price, then the cheapest."""
        # Every model is measured on every call, so this is all that is worked out of each.
        expected = 0 if self.price is None else expected_cost(self.price, *self.expected_tokens)
        object.__setattr__(self, "merit", (not self.fits, self.price is None, expected))

    @property
    def expected_cost(self) -> int:
        """The nano-dollars that are likely; 0 without a price, which `price` tells apart."""
        return self.merit[2]

    @property
    def name(self) -> str:
        """`provider/model`."""
        return self.model.qualified_name

    @property
    def output_cap(self) -> int:
        """The most output tokens of each choice."""
        most = self.asked.output_cap(self.model.max_output_tokens)
        return most if self.cap is None else min(most, self.cap)

    @property
    def fits(self) -> bool:
        """Whether the request, as it is likely to be counted, fits the context window."""
        return self.asked.expected_input < self.model.context_window

    @property
    def estimate(self) -> PricingEstimate | None:
        """What it may cost; None without a price."""
        if self.price is None:
            return None
        expected_input, expected_output = self.expected_tokens
        return estimate(
            self.price,
            input_bound=self.input_bound,
            expected_input=expected_input,
            output_cap=self.output_cap * self.asked.choices,
            expected_output=expected_output,
        )

    @property
    def input_bound(self) -> int:
        """The most tokens of input."""
        bound = self.asked.input_bound
        return bound if self.counted is None else min(bound, self.counted)

    @property
    def token_bound(self) -> int:
        """The most tokens of input and output together."""
        return self.input_bound + self.output_bound

    @property
    def output_bound(self) -> int:
        """The most tokens of output, all choices together."""
        return self.output_cap * self.asked.choices

    @property
    def expected_input(self) -> int:
        """The input tokens that are likely; what is counted may be fewer than most texts have."""
        return min(self.asked.expected_input, self.input_bound)

    @property
    def expected_tokens(self) -> tuple[int, int]:
        """The input and the output tokens that are likely."""
        return self.expected_input, self.asked.expected_output(self.output_cap)

    def preference(self) -> tuple[bool, bool, int, str]:
        """By merit, and by name where that is the same."""
        return *self.merit, self.name

    def request(self) -> ModelRequest:
        """The request as it is made of this model."""
        return self.asked.request_for(self.model, self.output_cap)
