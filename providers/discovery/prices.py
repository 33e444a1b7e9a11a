"""What a listed model may cost: from the host's own listing, else from `genai-prices`' data.

US dollars per million tokens of each bucket. A price that cannot be said in these terms is not
proposed at all, and why is said: unknown is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from providers.adapters.listing import ListedModel
from providers.models import ModelRole

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

EXACT, ESTIMATE = "exact", "estimate"
PACKAGE = "genai-prices"
# Beyond any price: a host that lists more has made a mistake.
HIGHEST = Decimal(100_000)
NO_LIST = "Neither the host nor Palyra's list of prices says what it costs; set a price yourself."
NOT_BY_TOKENS = "It is priced by something other than tokens; set a price per request yourself."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPrice:
    """What a model costs, as far as somebody says: US dollars per million tokens of each bucket.

    A cache bucket of None costs what uncached input costs. `note` is what the numbers leave out.
    """

    uncached_input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    per_request: Decimal = Decimal(0)
    source: str
    precision: str = EXACT
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Why no price is proposed, and what to do."""

    reason: str


def propose(
    listed: ListedModel, role: str, *, provider: str, base_url: str, at: datetime
) -> ProposedPrice | NoPrice:
    """The price of a model that `provider` lists. Pure, but for the package's data."""
    from_host = told_price(listed, role, source=f"discovery: {provider}")
    return from_host or list_price(listed.id, role, base_url=base_url, at=at)


def told_price(listed: ListedModel, role: str, *, source: str) -> ProposedPrice | None:
    """The price in the host's own listing, where it says one."""
    uncached, output = listed.input_price, listed.output_price
    if output is None and role == ModelRole.EMBEDDINGS:
        output = Decimal(0)
    if uncached is None or output is None:
        return None
    price = ProposedPrice(
        uncached_input=uncached,
        output=output,
        cache_read=listed.cache_read_price,
        cache_write_5m=listed.cache_write_price,
        per_request=listed.request_price or Decimal(0),
        source=source,
    )
    return price if _is_believable(price) else None


def list_price(name: str, role: str, *, base_url: str, at: datetime) -> ProposedPrice | NoPrice:
    """The price that `genai-prices` knows for a host of that address: an estimate, for the list
    is as old as its release. Never by the model's name alone: one's own Ollama charges nothing.
    """
    model = _find(name, base_url)
    if model is None:
        return NoPrice(NO_LIST)
    return _price_of(model, role, at)


def list_context(name: str, base_url: str) -> int | None:
    """The context window that the same list knows of the model, at a host of that address."""
    model = _find(name, base_url)
    return None if model is None else model.context_window


def _price_of(model: ModelInfo, role: str, at: datetime) -> ProposedPrice | NoPrice:
    listed = model.get_prices(at)
    notes: list[str] = []
    hears = role == ModelRole.AUDIO_TRANSCRIPTION
    uncached = _rate(listed, "input_audio_mtok", notes) if hears else None
    if uncached is None:
        uncached = _rate(listed, "input_mtok", notes)
    output = _rate(listed, "output_mtok", notes)
    if output is None and role == ModelRole.EMBEDDINGS:
        output = Decimal(0)
    if uncached is None or output is None:
        return NoPrice(NOT_BY_TOKENS)
    if not hears and getattr(listed, "input_audio_mtok", None) is not None:
        notes.append("Audio costs more.")
    if isinstance(model.prices, list) and any(_is_by_the_hour(one) for one in model.prices):
        notes.append("It costs more or less at other times of the day.")
    per_thousand = _rate(listed, "requests_kcount", notes) or Decimal(0)
    price = ProposedPrice(
        uncached_input=uncached,
        output=output,
        cache_read=_rate(listed, "cache_read_mtok", notes),
        cache_write_5m=_rate(listed, "cache_write_mtok", notes),
        cache_write_1h=_rate(listed, "cache_write_1h_mtok", notes),
        per_request=per_thousand / 1000,
        source=list_source(),
        precision=ESTIMATE,
        note=" ".join(dict.fromkeys(notes)),
    )
    return price if _is_believable(price) else NoPrice(NO_LIST)


@lru_cache(maxsize=1)
def list_source() -> str:
    """How a price from the package's data names its source, such as `genai-prices 0.2.3`."""
    return f"{PACKAGE} {version(PACKAGE)}"


def _find(name: str, base_url: str) -> ModelInfo | None:
    # A third of a second and thirty thousand lines: only for who discovers.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    known = get_snapshot()
    try:
        host = known.find_provider(None, None, base_url)
    except LookupError:
        return None
    for candidate in (name, name.removeprefix("models/")):
        found = host.find_model(candidate, all_providers=known.providers)
        if found is not None:
            return found
    return None


def _rate(price: ModelPrice, name: str, notes: list[str]) -> Decimal | None:
    value = getattr(price, name, None)
    tiers = getattr(value, "tiers", None)
    if tiers:
        first = min(tier.start for tier in tiers)
        notes.append(f"Requests of more than {first:,} input tokens cost more.")
    base = getattr(value, "base", value)
    return base if isinstance(base, Decimal) else None


def _is_by_the_hour(price: Any) -> bool:
    return hasattr(price.constraint, "start_time")


def _is_believable(price: ProposedPrice) -> bool:
    amounts = (
        price.uncached_input,
        price.output,
        price.cache_read,
        price.cache_write_5m,
        price.cache_write_1h,
        price.per_request,
    )
    return all(amount is None or 0 <= amount <= HIGHEST for amount in amounts)
