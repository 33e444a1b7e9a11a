"""What a host says of its models, in one form whatever the host."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model as its host lists it; None, or an empty text, is what the host does not say.

    Sizes are tokens. Prices are dollars for a million tokens, but `request_price`, which is for
    each request.
    """

    id: str
    display_name: str = ""
    role: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    tools: bool | None = None
    json_mode: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    cache_read_price: Decimal | None = None
    cache_write_price: Decimal | None = None
    request_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of a host's models; `after` is what to ask for the next ones with, if there are more."""

    models: tuple[ListedModel, ...]
    after: str | None = None
