"""What models cost, in the JSON API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictInt

from governance.api.conventions import ActorRequest, Dollars, RowId, dollars_json
from governance.models import Price, PricePrecision, PriceTier
from governance.money import decimal_text
from governance.pricing import BUCKETS
from providers.api.conventions import Input, Moment, described
from providers.api.pages import Page, PageQuery, read_page
from providers.api.schemas import ModelOut
from providers.models import ProviderModel

router = Router()

MOST_TIERS = 20
# What every database has room for.
MOST_TOKENS = 2**31 - 1

Precision = Annotated[str, described(PricePrecision.values)]


class RatesIn(Input):
    """US dollars per million tokens of each bucket."""

    uncached_input: Dollars
    cache_read: Dollars | None = Field(None, description="The input's price, if left out.")
    cache_write_5m: Dollars | None = Field(None, description="The input's price, if left out.")
    cache_write_1h: Dollars | None = Field(None, description="The input's price, if left out.")
    output: Dollars


class TierIn(RatesIn):
    """What a whole request costs whose input, cached or not, is more than `above` tokens."""

    above: StrictInt = Field(le=MOST_TOKENS)


class PriceIn(RatesIn):
    """A new price, in US dollars per million tokens of each bucket."""

    model: RowId = Field(description="The model's identifier.")
    effective_from: Moment | None = Field(None, description="Now, if left out.")
    per_request: Dollars = Field(0, description="US dollars, fixed, a request.")
    source: str = "operator"
    precision: Precision = PricePrecision.EXACT.value
    tiers: list[TierIn] = Field([], max_length=MOST_TIERS, description="What long contexts cost.")


class RatesOut(Schema):
    """US dollars per million tokens of each bucket; null costs what input costs."""

    uncached_input: str
    cache_read: str | None
    cache_write_5m: str | None
    cache_write_1h: str | None
    output: str


class TierOut(RatesOut):
    """What a whole request costs whose input, cached or not, is more than `above` tokens."""

    above: int

    @classmethod
    def of(cls, tier: PriceTier) -> TierOut:
        return cls(above=tier.above, **_rates(tier))


class PriceOut(RatesOut):
    """What a model costs from a moment on, in US dollars per million tokens of each bucket."""

    id: str
    model: str = Field(description="The model's identifier.")
    effective_from: Moment
    per_request: str = Field(description="US dollars, fixed, a request.")
    source: str
    precision: Precision
    tiers: list[TierOut] = Field(description="What long contexts cost, the lowest first.")

    @classmethod
    def of(cls, price: Price) -> PriceOut:
        return cls(
            **_rates(price),
            id=str(price.pk),
            model=str(price.model_id),
            effective_from=price.effective_from,
            per_request=decimal_text(price.per_request),
            source=price.source,
            precision=price.precision,
            tiers=[TierOut.of(tier) for tier in price.tiers.all()],
        )


class PricedModelOut(ModelOut):
    """A model and what it costs now."""

    provider_enabled: bool
    price: PriceOut | None = Field(description="null if it has none, which is not free.")

    @classmethod
    def priced(cls, model: ProviderModel, price: Price | None) -> PricedModelOut:
        return cls(
            **dict(ModelOut.of(model)),
            provider_enabled=model.provider.enabled,
            price=PriceOut.of(price) if price else None,
        )


class PriceQuery(PageQuery):
    """Which prices."""

    model: RowId | None = Field(None, description="A model's identifier.")


@router.get(
    "/models",
    response=Page[PricedModelOut],
    operation_id="list_models",
    summary="List the models and their prices",
)
def list_models(request: ActorRequest, page: Query[PageQuery]) -> Page[PricedModelOut]:
    """Every model, by name, with the price in force now. Everyone may ask."""
    rows, following = read_page(_with_price_id(), page, by="name")
    prices = Price.objects.prefetch_related("tiers").in_bulk(_price_ids(rows))
    items = [
        PricedModelOut.priced(row, prices.get(getattr(row, "current_price", None))) for row in rows
    ]
    return Page[PricedModelOut](items=items, next_cursor=following)


def _with_price_id() -> QuerySet[ProviderModel]:
    in_force = Price.objects.filter(
        model=OuterRef("pk"), effective_from__lte=timezone.now()
    ).order_by("-effective_from")
    models: QuerySet[ProviderModel] = ProviderModel.objects.select_related("provider").annotate(
        current_price=Subquery(in_force.values("pk")[:1])
    )
    return models


def _price_ids(rows: Iterable[ProviderModel]) -> list[int]:
    return [row.current_price for row in rows if row.current_price]  # type: ignore[attr-defined]


@router.get("/prices", response=Page[PriceOut], operation_id="list_prices", summary="List prices")
def list_prices(request: ActorRequest, page: Query[PriceQuery]) -> Page[PriceOut]:
    """Past, present and coming prices, latest first. Needs `governance.view_price`."""
    request.auth.require("governance.view_price")
    rows = Price.objects.prefetch_related("tiers")
    if page.model is not None:
        rows = rows.filter(model=page.model)
    shown, following = read_page(rows, page, by="-effective_from")
    return Page[PriceOut](items=[PriceOut.of(row) for row in shown], next_cursor=following)


@router.post("/prices", response={201: PriceOut}, operation_id="add_price", summary="Add a price")
def add_price(request: ActorRequest, body: PriceIn) -> Status[PriceOut]:
    """A price holds from its moment on until a later one. Needs `governance.add_price`."""
    request.auth.require("governance.add_price")
    values = body.model_dump(exclude={"model", "effective_from", "tiers"})
    price = Price(effective_from=body.effective_from or timezone.now(), **values)
    model = ProviderModel.objects.filter(pk=body.model).first()
    faults = {} if model else {"model": ["There is no model of this identifier."]}
    if model:
        price.model = model
    tiers = [PriceTier(price=price, **tier.model_dump()) for tier in body.tiers]
    try:
        price.full_clean(exclude=faults)
    except ValidationError as error:
        faults |= error.message_dict
    if found := _tier_faults(tiers):
        faults["tiers"] = found
    if faults:
        raise ValidationError(faults)
    with transaction.atomic():
        price.save()
        for tier in tiers:
            tier.save()
    return Status(201, PriceOut.of(price))


def _tier_faults(tiers: Iterable[PriceTier]) -> list[str]:
    """What is wrong with the tiers of a price that is not stored yet."""
    faults, seen = [], set[int]()
    for tier in tiers:
        try:
            tier.full_clean(exclude={"price"})
        except ValidationError as error:
            said = (text for texts in error.message_dict.values() for text in texts)
            faults += [f"Above {tier.above:,} tokens: {text}" for text in said]
        if tier.above in seen:
            faults.append(f"Above {tier.above:,} tokens: there are two of these.")
        seen.add(tier.above)
    return faults


def _rates(row: Price | PriceTier) -> dict[str, Any]:
    return {bucket: dollars_json(getattr(row, bucket)) for bucket in BUCKETS}
