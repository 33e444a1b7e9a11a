"""Channels and deliveries in the JSON API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool

from governance.alerts import deliveries, handling
from governance.api.conventions import ActorRequest, RowId
from governance.models import (
    Channel,
    ChannelFormat,
    ChannelKind,
    ChannelPurpose,
    Delivery,
    DeliveryStatus,
    Team,
)
from providers.api.conventions import KEPT, Change, Input, Moment, described, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()
Kind = Annotated[str, described(ChannelKind.values)]
Format = Annotated[str, described(ChannelFormat.values)]
Purpose = Annotated[str, described(ChannelPurpose.values)]
ADDRESS = (
    "Of a chat, the whole address that it gave you. It is kept as a secret: only its host is given "
    "back."
)
VIEW_CHANNEL = "governance.view_channel"
CHANGE_DELIVERY = "governance.change_delivery"
NO_CHANNEL = refusals({404: "There is no channel of that identifier."})
NO_DELIVERY = refusals({404: "There is no such delivery that you may see."})


class ChannelIn(Input):
    """A new channel."""

    name: str
    kind: Kind = ChannelKind.WEBHOOK.value
    format: Format = ChannelFormat.STANDARD.value
    purpose: Purpose = ChannelPurpose.BOTH.value
    team: str | None = Field(None, description="A team's slug: only its alerts and runs.")
    url: str = Field("", description=ADDRESS)
    secret: str = Field(
        "",
        description="whsec_… to sign with; it is never given back.",
        json_schema_extra={"writeOnly": True},
    )
    recipients: list[str] = Field(default_factory=list)
    kinds: list[str] = Field(default_factory=list, description="Empty for every kind.")
    allow_private_addresses: StrictBool = False
    enabled: StrictBool = True


class ChannelChange(Change):
    """What to change of a channel."""

    name: str = KEPT
    format: Format = KEPT
    purpose: Purpose = KEPT
    url: str = Field(KEPT, description=ADDRESS)
    secret: str = Field(KEPT, json_schema_extra={"writeOnly": True})
    recipients: list[str] = KEPT
    kinds: list[str] = KEPT
    allow_private_addresses: StrictBool = KEPT
    enabled: StrictBool = KEPT


class ChannelOut(Schema):
    """Where alerts and what came of scheduled prompts are sent.

    Without `governance.view_channel`, `url` and `recipients` are empty.
    """

    id: str
    name: str
    kind: Kind
    format: Format
    purpose: Purpose
    team: str | None
    url: str
    has_secret: bool
    recipients: list[str]
    kinds: list[str]
    allow_private_addresses: bool
    enabled: bool

    @classmethod
    def of(cls, channel: Channel, *, whole: bool = True) -> ChannelOut:
        return cls(
            id=str(channel.pk),
            name=channel.name,
            kind=channel.kind,
            format=channel.format,
            purpose=channel.purpose,
            team=channel.team.slug if channel.team else None,
            url=channel.url if whole else "",
            has_secret=channel.secret_id is not None,
            recipients=channel.recipients if whole else [],
            kinds=channel.kinds,
            allow_private_addresses=channel.allow_private_addresses,
            enabled=channel.enabled,
        )


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    event: str | None = Field(None, description="Such as run.failed.")
    status: DeliveryStatus | None = None
    channel: RowId | None = None
    run_id: UUID | None = Field(None, description="Those that tell of that run.")


class DeliveryOut(Schema):
    """A message to a channel, with each try to send it."""

    id: str
    channel: str
    event: str
    title: str
    team: str | None
    run_id: str | None
    status: DeliveryStatus
    tries: int
    log: list[dict[str, Any]] = Field(
        description="Without `governance.view_channel`, `fault` does not say where it was sent."
    )
    created_at: Moment
    delivered_at: Moment | None

    @classmethod
    def of(cls, row: Delivery, *, whole: bool) -> Self:
        """`row` as it is given; if not `whole`, to those who may not know its channel's host."""
        shown = {name: getattr(row, name) for name in cls.model_fields}
        told = {
            "id": str(row.pk),
            "channel": str(row.channel_id),
            "team": row.team.slug if row.team else None,
            "run_id": str(row.run_id) if row.run_id else None,
            "log": row.log if whole else [_without_host(tried) for tried in row.log],
        }
        return cls(**shown | told)


def _without_host(tried: dict[str, Any]) -> dict[str, Any]:
    return tried | {"fault": deliveries.UNREACHED if tried["fault"] else ""}


class DeliveryWhole(DeliveryOut):
    """The same with what it says."""

    body: dict[str, Any]


@router.get(
    "/channels",
    response=Page[ChannelOut],
    operation_id="list_channels",
    summary="List channels",
)
def list_channels(request: ActorRequest, page: Query[PageQuery]) -> Page[ChannelOut]:
    """Everyone's with `governance.view_channel`; otherwise those that your teams may choose for
    their scheduled prompts."""
    whole = request.auth.may(VIEW_CHANNEL)
    own = handling.usable_for_runs(request.auth.teams(VIEW_CHANNEL).order_by().values("pk"))
    rows = Channel.objects.all() if whole else own
    shown, following = read_page(rows.select_related("team"), page, by="name")
    items = [ChannelOut.of(row, whole=whole) for row in shown]
    return Page[ChannelOut](items=items, next_cursor=following)


@router.post(
    "/channels",
    response={201: ChannelOut},
    operation_id="add_channel",
    summary="Add a channel",
)
def add_channel(request: ActorRequest, body: ChannelIn) -> Status[ChannelOut]:
    """Needs `governance.add_channel`."""
    request.auth.require("governance.add_channel")
    values = {name: getattr(body, name) for name in ChannelIn.model_fields}
    slug = values.pop("team")
    team = Team.objects.filter(slug=slug).first()
    faults = {} if slug is None or team else {"team": ["There is no team of this slug."]}
    return Status(201, _saved(Channel(team=team), values, faults))


@router.patch(
    "/channels/{int:channel_id}",
    response=ChannelOut,
    operation_id="change_channel",
    summary="Change a channel",
    openapi_extra=NO_CHANNEL,
)
def change_channel(request: ActorRequest, channel_id: int, body: ChannelChange) -> ChannelOut:
    """Needs `governance.change_channel`."""
    request.auth.require("governance.change_channel")
    return _saved(find(Channel.objects.select_related("team"), pk=channel_id), body.given(), {})


@router.delete(
    "/channels/{int:channel_id}",
    response={204: None},
    operation_id="delete_channel",
    summary="Delete a channel",
    openapi_extra=NO_CHANNEL,
)
def delete_channel(request: ActorRequest, channel_id: int) -> Status[None]:
    """With the log of its deliveries and its secrets. Needs `governance.delete_channel`."""
    request.auth.require("governance.delete_channel")
    handling.delete_channel(find(Channel.objects.all(), pk=channel_id))
    return Status(204, None)


@router.post(
    "/channels/{int:channel_id}/test",
    response={201: DeliveryOut},
    operation_id="test_channel",
    summary="Send a test",
    openapi_extra=NO_CHANNEL,
)
def test_channel(request: ActorRequest, channel_id: int) -> Status[DeliveryOut]:
    """A message that says it is a test. Needs `governance.change_channel`."""
    request.auth.require("governance.change_channel")
    channel = find(Channel.objects.all(), pk=channel_id)
    sent = deliveries.send_test(channel, timezone.now())
    return Status(201, DeliveryOut.of(sent, whole=request.auth.may(VIEW_CHANNEL)))


def _saved(channel: Channel, values: dict[str, Any], faults: dict[str, list[str]]) -> ChannelOut:
    """`channel`, stored with `values`, unless there are `faults` already or are found in them."""
    secret = values.pop("secret", "") or ""
    for name, value in values.items():
        setattr(channel, name, value)
    checks: list[Callable[[], None]] = [
        channel.full_clean,
        lambda: handling.check_channel(channel, secret),
    ]
    for check in checks:
        try:
            check()
        except ValidationError as error:
            # What one check said of a field, the next need not say again.
            faults = error.message_dict | faults
    if faults:
        raise ValidationError(faults)
    handling.save_channel(channel, secret)
    return ChannelOut.of(channel)


@router.get(
    "/deliveries",
    response=Page[DeliveryOut],
    operation_id="list_deliveries",
    summary="List deliveries",
)
def list_deliveries(request: ActorRequest, page: Query[DeliveryQuery]) -> Page[DeliveryOut]:
    """Those of your teams, newest first; with `governance.view_delivery`, everyone's."""
    given = page.model_dump(include={"event", "status", "channel", "run_id"}, exclude_none=True)
    rows = _visible(request).filter(**given)
    shown, following = read_page(rows, page, by="-created_at")
    whole = request.auth.may(VIEW_CHANNEL)
    items = [DeliveryOut.of(row, whole=whole) for row in shown]
    return Page[DeliveryOut](items=items, next_cursor=following)


@router.get(
    "/deliveries/{uuid:delivery_id}",
    response=DeliveryWhole,
    operation_id="get_delivery",
    summary="Show a delivery",
    openapi_extra=NO_DELIVERY,
)
def get_delivery(request: ActorRequest, delivery_id: UUID) -> DeliveryWhole:
    """A message of one of your teams, with what it says."""
    row = find(_visible(request), pk=delivery_id)
    return DeliveryWhole.of(row, whole=request.auth.may(VIEW_CHANNEL))


@router.post(
    "/deliveries/{uuid:delivery_id}/redeliver",
    response=DeliveryOut,
    operation_id="redeliver",
    summary="Send a message again",
    openapi_extra=NO_DELIVERY,
)
def redeliver(request: ActorRequest, delivery_id: UUID) -> DeliveryOut:
    """With the same identifier. What tells of a team's runs, the team may send again; anything else
    needs `governance.change_delivery`."""
    row = find(_visible(request), pk=delivery_id)
    if row.run_id is None or row.team_id is None:
        request.auth.require(CHANGE_DELIVERY)
    else:
        request.auth.require_in(row.team_id, CHANGE_DELIVERY)
    deliveries.redeliver(row, timezone.now())
    row.refresh_from_db()
    return DeliveryOut.of(row, whole=request.auth.may(VIEW_CHANNEL))


def _visible(request: ActorRequest) -> QuerySet[Delivery]:
    rows = Delivery.objects.select_related("channel", "team")
    return rows.filter(request.auth.within("governance.view_delivery"))
