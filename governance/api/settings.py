"""What holds for the whole installation, in the JSON API."""

from __future__ import annotations

from typing import Annotated

from ninja import Router, Schema
from pydantic import Field, StrictInt

from governance.api.conventions import ActorRequest
from governance.models import GovernanceSettings, RoutingMode, governance_settings
from providers.api.conventions import KEPT, Change, described

router = Router()

Mode = Annotated[str, described(RoutingMode.values)]


class SettingsOut(Schema):
    """What holds where nothing nearer says otherwise."""

    routing_mode: Mode = Field(description="What a recommendation of another model does.")
    output_floor: int = Field(
        description="Output tokens: a call whose budget pays for fewer is blocked, not shortened."
    )
    price_stale_days: int = Field(
        description="Days without a confirmation or a change until a price is stale."
    )
    spike_factor: int = Field(description="Times the usual cost of an hour that are a spike.")

    @classmethod
    def of(cls, row: GovernanceSettings) -> SettingsOut:
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class SettingsChange(Change):
    """What to change of the settings."""

    routing_mode: Mode = KEPT
    output_floor: StrictInt = KEPT
    price_stale_days: StrictInt = KEPT
    spike_factor: StrictInt = KEPT


@router.get(
    "/settings", response=SettingsOut, operation_id="get_settings", summary="Show the settings"
)
def get_settings(request: ActorRequest) -> SettingsOut:
    """Needs the permission `governance.view_governancesettings`."""
    request.auth.require("governance.view_governancesettings")
    return SettingsOut.of(GovernanceSettings.objects.first() or GovernanceSettings())


@router.patch(
    "/settings",
    response=SettingsOut,
    operation_id="change_settings",
    summary="Change the settings",
)
def change_settings(request: ActorRequest, body: SettingsChange) -> SettingsOut:
    """Holds within a second, everywhere. Needs `governance.change_governancesettings`."""
    request.auth.require("governance.change_governancesettings")
    row = governance_settings()
    for field, value in body.given().items():
        setattr(row, field, value)
    row.full_clean()
    row.save()
    return SettingsOut.of(row)
