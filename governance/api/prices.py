"""What models cost, in the JSON API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from governance.api.conventions import ActorRequest, Dollars, RowId, dollars_json
from governance.models import Price, PricePrecision
from governance.money import decimal_text
from providers.api.conventions import Input, Moment, described
from providers.api.pages import Page, PageQuery, read_page
from providers.api.schemas import ModelOut
from providers.models import ProviderModel

router = Router()

Precision = Annotated[str, described(PricePrecision.values)]


class PriceIn(Input):
    """A new price, in US dollars per million tokens of each bucket."""

    model: RowId = Field(description="The model's identifier.")
    effective_from: Moment | None = Field(None, description="Now, if left out.")
    uncached_input: Dollars
    cache_read: Dollars | None = Field(None, description="The input's price, if left out.")
    cache_write_5m: Dollars | None = Field(None, description="The input's price, if left out.")
    cache_write_1h: Dollars | None = Field(None, description="The input's price, if left out.")
    output: Dollars
    per_request: Dollars = Field(0, description="US dollars, fixed, a request.")
    source: str = "operator"
    precision: Precision = PricePrecision.EXACT.value


class PriceOut(Schema):
    """What a model costs from a moment on, in US dollars per million tokens of each bucket."""

    id: str
    model: str = Field(description="The model's identifier.")
    effective_from: Moment
    uncached_input: str
    cache_read: str | None
    cache_write_5m: str | None
    cache_write_1h: str | None
    output: str
    per_request: str = Field(description="US dollars, fixed, a request.")
    source: str
    precision: Precision

    @classmethod
    def of(cls, price: Price) -> PriceOut:
        return cls(
            id=str(price.pk),
            model=str(price.model_id),
            effective_from=price.effective_from,
            uncached_input=decimal_text(price.uncached_input),
            cache_read=dollars_json(price.cache_read),
            cache_write_5m=dollars_json(price.cache_write_5m),
            cache_write_1h=dollars_json(price.cache_write_1h),
            output=decimal_text(price.output),
            per_request=decimal_text(price.per_request),
            source=price.source,
            precision=price.precision,
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
    prices = Price.objects.in_bulk(_price_ids(rows))
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
    rows = Price.objects.all()
    if page.model is not None:
        rows = rows.filter(model=page.model)
    shown, following = read_page(rows, page, by="-effective_from")
    return Page[PriceOut](items=[PriceOut.of(row) for row in shown], next_cursor=following)


@router.post("/prices", response={201: PriceOut}, operation_id="add_price", summary="Add a price")
def add_price(request: ActorRequest, body: PriceIn) -> Status[PriceOut]:
    """A price holds from its moment on until a later one. Needs `governance.add_price`."""
    request.auth.require("governance.add_price")
    values = body.model_dump(exclude={"model", "effective_from"})
    price = Price(effective_from=body.effective_from or timezone.now(), **values)
    model = ProviderModel.objects.filter(pk=body.model).first()
    faults = {} if model else {"model": ["There is no model of this identifier."]}
    if model:
        price.model = model
    try:
        price.full_clean(exclude=faults)
    except ValidationError as error:
        faults |= error.message_dict
    if faults:
        raise ValidationError(faults)
    price.save()
    return Status(201, PriceOut.of(price))
