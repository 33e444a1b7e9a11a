"""What the ledger and the router must know of a request, whatever is asked of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from governance.complexity import Features
from governance.errors import InvalidRequest
from providers.candidates import Needs
from providers.registry import ModelEntry
from providers.requests import ModelRequest

LONGEST_NAME = 200
# A text as a host reads it, and how many tokens of the input bound are its own.
BoundedText = tuple[str, int]


def requested_model(value: Any) -> str:
    """The name of the model that a request asks for. Raises `InvalidRequest`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest("Name a model, or “auto” to let Palyra choose.", param="model")
    if len(value) > LONGEST_NAME:
        raise InvalidRequest(
            f"A model's name has at most {LONGEST_NAME} characters.", param="model"
        )
    return value.strip()


class ParsedRequest(Protocol):
    """A request that can be made; sizes are tokens, `output_limit` those of each choice.

    `input_bound` is an upper bound that cannot be low, `expected_input` what is likely.
    """

    @property
    def model(self) -> str:
        """The name the caller gave, or `auto`."""

    @property
    def role(self) -> str:
        """What kind of model it takes, a `ModelRole`."""

    @property
    def output_limit(self) -> int | None:
        """The most output tokens the caller wants, if it said so."""

    @property
    def choices(self) -> int:
        """How many answers are asked for."""

    @property
    def input_bound(self) -> int: ...

    @property
    def expected_input(self) -> int: ...

    def texts(self) -> Iterable[BoundedText]:
        """The texts that hosts read as they are, each by itself; those whose bounds may be replaced
        by exact counts."""

    @property
    def least_output(self) -> int | None:
        """The tokens of each choice that any answer takes; None if no cap can shorten it."""

    @property
    def needs(self) -> Needs:
        """What it takes of the model that answers."""

    @property
    def features(self) -> Features | None:
        """What its complexity is told by; None for what has none."""

    def output_cap(self, model_cap: int) -> int:
        """The most output tokens for each choice, for a model that gives at most `model_cap`."""

    def expected_output(self, output_cap: int) -> int:
        """What all choices together are likely to take of `output_cap` each."""

    def request_for(self, model: ModelEntry, output_cap: int) -> ModelRequest:
        """The request as it is made of one model."""


def bound_by(asked: ParsedRequest, count: Callable[[str], int]) -> int:
    """The input bound where `count` says of each text how many tokens it is; never more than the
    request's own."""
    return asked.input_bound - sum(max(0, size - count(text)) for text, size in asked.texts())
