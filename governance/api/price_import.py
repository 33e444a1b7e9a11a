"""Listed prices for the models of the registry, in the JSON API."""

from __future__ import annotations

from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from governance import price_import
from governance.api.conventions import ActorRequest, RowId
from governance.price_import import ImportLine, PriceImport
from providers.api.conventions import Input, Moment
from providers.api.health_schemas import MOST_PICKED, PriceStandingName, ProposedPriceOut

router = Router()


class ImportCountsOut(Schema):
    """How many models stand in each way."""

    new: int
    changed: int
    unchanged: int
    overridden: int
    told: int
    unknown: int


class ImportLineOut(Schema):
    """What the list says of a model, against the price in force."""

    model: str = Field(description="The model's identifier: pick it by this.")
    name: str = Field(description="The model as clients name it, with its provider.")
    standing: PriceStandingName
    price: ProposedPriceOut | None = Field(description="null if the list cannot say it.")
    price_in_force: ProposedPriceOut | None
    says: str = Field(description="What applying does about its price, in words.")

    @classmethod
    def of(cls, line: ImportLine) -> ImportLineOut:
        return cls(
            model=str(line.model_id),
            name=line.model,
            standing=line.standing.value,
            price=ProposedPriceOut.of(line.proposed),
            price_in_force=ProposedPriceOut.of(line.comparison.in_force),
            says=line.comparison.says,
        )


class PriceImportOut(Schema):
    """Models and their listed prices; those that are new or changed are what applying sets."""

    source: str
    at: Moment
    says: str
    counts: ImportCountsOut
    models: list[ImportLineOut]

    @classmethod
    def of(cls, found: PriceImport) -> PriceImportOut:
        counts = {standing.value: count for standing, count in found.counts().items()}
        return cls(
            source=found.source,
            at=found.at,
            says=str(found),
            counts=ImportCountsOut(**counts),
            models=[ImportLineOut.of(line) for line in found.lines],
        )


class PriceImportIn(Input):
    """Whose prices to set."""

    models: list[RowId] | None = Field(
        None,
        max_length=MOST_PICKED,
        description="Identifiers. Left out: all whose price is new or changed.",
    )


@router.get(
    "/prices/import",
    response=PriceImportOut,
    operation_id="preview_price_import",
    summary="Show what listed prices would change",
)
def preview_price_import(request: ActorRequest) -> PriceImportOut:
    """What `genai-prices` lists for the models of the registry, against the prices in force.
    Changes nothing, and asks no host. Needs `governance.view_price`."""
    request.auth.require("governance.view_price")
    return PriceImportOut.of(price_import.preview(now=timezone.now()))


@router.post(
    "/prices/import/apply",
    response=PriceImportOut,
    operation_id="apply_price_import",
    summary="Take over listed prices",
)
def apply_price_import(request: ActorRequest, body: PriceImportIn) -> PriceImportOut:
    """Sets the prices that are new or changed, from now on; all of them or none. A price that an
    operator has set, or the host itself has told, stays. Gives back what was done. Needs
    `governance.add_price`."""
    request.auth.require("governance.add_price")
    return PriceImportOut.of(price_import.apply(body.models, now=timezone.now()))
