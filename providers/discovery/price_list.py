"""What `genai-prices` knows that models cost: its data, said in Palyra's buckets and tiers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from providers.discovery.proposed_price import (
    BUCKETS,
    ESTIMATE,
    NoPrice,
    ProposedPrice,
    ProposedRates,
    ProposedTier,
)
from providers.models import ModelRole

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

PACKAGE = "genai-prices"
# Looking a model up takes the better part of a millisecond, and a host may have a thousand.
MOST_REMEMBERED = 10_000
NO_LIST = "Neither the host nor Palyra's list of prices says what it costs; set a price yourself."
NOT_BY_TOKENS = "It is priced by something other than tokens; set a price per request yourself."
# What the package calls each bucket; the first that is there holds. A write to the cache that has
# no price of its own length is one of the general price.
NAMES = {
    "uncached_input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok"),
}
HEARD = {**NAMES, "uncached_input": ("input_audio_mtok", "input_mtok")}
PER_REQUEST = "requests_kcount"
# By a part of the name of what else the list prices.
LEFT_OUT = {
    "audio": "Audio has a price of its own.",
    "image": "Images have a price of their own.",
    "video": "Video has a price of its own.",
    "reasoning": "Reasoning has a price of its own.",
    "citation": "Citations have a price of their own.",
    "searches": "Searches are charged besides.",
}
BY_THE_HOUR = "It costs less at some hours; this is what it costs at the dearest."


def list_price(name: str, role: str, *, base_url: str, at: datetime) -> ProposedPrice | NoPrice:
    """The price that `genai-prices` knows for a host of that address: an estimate, for the list
    is as old as its release. Never by the model's name alone: one's own Ollama charges nothing.
    """
    model = _find(name, base_url)
    return NoPrice(NO_LIST) if model is None else price_of(model, role, at)


def list_context(name: str, base_url: str) -> int | None:
    """The context window that the same list knows of the model, at a host of that address."""
    model = _find(name, base_url)
    return None if model is None else model.context_window


@lru_cache(maxsize=1)
def list_source() -> str:
    """How a price from the package's data names its source, such as `genai-prices 0.2.3`."""
    return f"{PACKAGE} {version(PACKAGE)}"


def price_of(model: ModelInfo, role: str, at: datetime) -> ProposedPrice | NoPrice:
    """What the list says of `model`, as far as it can be said in Palyra's terms."""
    listed = _through_the_day(model, at)
    starts = sorted({start for price in listed for start in _starts(price) if start})
    levels = [_rates(listed, role, start + 1) for start in (0, *starts)]
    said = [level for level in levels if level is not None]
    if len(said) < len(levels):
        return NoPrice(NOT_BY_TOKENS)
    base, *above = said
    price = ProposedPrice(
        **base.amounts(),
        per_request=_per_request(listed),
        source=list_source(),
        precision=ESTIMATE,
        note=" ".join(_notes(model, listed, role, at)),
        tiers=tuple(
            ProposedTier(above=start, **rates.amounts())
            for start, rates in zip(starts, above, strict=True)
        ),
    )
    return price if price.is_believable else NoPrice(NO_LIST)


@lru_cache(maxsize=MOST_REMEMBERED)
def _find(name: str, base_url: str) -> ModelInfo | None:
    # A third of a second and thirty thousand lines: only for who discovers or imports.
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


def _through_the_day(model: ModelInfo, at: datetime) -> list[ModelPrice]:
    """Every price of the day of `at`: one, unless it depends on the hour."""
    day = at.astimezone(UTC).date()
    moments = [at]
    for condition in _conditions(model):
        if hasattr(condition, "start_time"):
            hours = (condition.start_time, condition.end_time)
            moments += [datetime.combine(day, hour, hour.tzinfo or UTC) for hour in hours]
    found: list[ModelPrice] = []
    for moment in moments:
        price = model.get_prices(moment)
        if price not in found:
            found.append(price)
    return found


def _conditions(model: ModelInfo) -> list[Any]:
    every = model.prices if isinstance(model.prices, list) else ()
    return [one.constraint for one in every if one.constraint is not None]


def _starts(price: ModelPrice) -> Iterator[int]:
    """The tokens of input above which anything of it costs something else."""
    for value in vars(price).values():
        yield from (tier.start for tier in getattr(value, "tiers", ()))


def _rates(listed: list[ModelPrice], role: str, tokens: int) -> ProposedRates | None:
    """What a request of so much input is charged; the dearest, bucket by bucket, of the day's."""
    found = [_rates_of(price, role, tokens) for price in listed]
    every = [rates for rates in found if rates is not None]
    if len(every) < len(found):
        return None
    if len(every) == 1:
        return every[0]
    return ProposedRates(
        **{bucket: max(rates.charged(bucket) for rates in every) for bucket in BUCKETS}
    )


def _rates_of(price: ModelPrice, role: str, tokens: int) -> ProposedRates | None:
    names = HEARD if role == ModelRole.AUDIO_TRANSCRIPTION else NAMES
    amounts = {bucket: _amount(price, names[bucket], tokens) for bucket in BUCKETS}
    uncached, output = amounts.pop("uncached_input"), amounts.pop("output")
    if output is None and role == ModelRole.EMBEDDINGS:
        output = Decimal(0)
    if uncached is None or output is None:
        return None
    return ProposedRates(uncached_input=uncached, output=output, **amounts)


def _amount(price: ModelPrice, names: Iterable[str], tokens: int) -> Decimal | None:
    """The first of these that is priced, in a request of so much input."""
    values: Iterator[Any] = (getattr(price, name, None) for name in names)
    value: Any = next((one for one in values if one is not None), None)
    passed = [tier for tier in getattr(value, "tiers", ()) if tokens > tier.start]
    if passed:
        value = max(passed, key=lambda tier: tier.start).price
    amount = getattr(value, "base", value)
    return amount if isinstance(amount, Decimal) else None


def _per_request(listed: list[ModelPrice]) -> Decimal:
    thousands = (_amount(price, (PER_REQUEST,), 1) or Decimal(0) for price in listed)
    return max(thousands) / 1000


def _notes(model: ModelInfo, listed: list[ModelPrice], role: str, at: datetime) -> Iterator[str]:
    used = {name for names in (HEARD if _hears(role) else NAMES).values() for name in names}
    left_out = [
        name
        for price in listed
        for name, value in vars(price).items()
        if value is not None and name not in used
    ]
    for part, note in LEFT_OUT.items():
        if any(part in name for name in left_out):
            yield note
    if len(listed) > 1:
        yield BY_THE_HOUR
    starts = [getattr(condition, "start_date", None) for condition in _conditions(model)]
    coming = min((day for day in starts if day and day > at.astimezone(UTC).date()), default=None)
    if coming is not None:
        yield f"It costs something else from {coming} on: import it again then."


def _hears(role: str) -> bool:
    return role == ModelRole.AUDIO_TRANSCRIPTION
