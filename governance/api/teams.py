"""Teams and their keys in the JSON API."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool, StrictInt

from governance import keys
from governance.api.conventions import ActorRequest
from governance.models import ApiKey, RoutingMode, Team
from providers.api.conventions import KEPT, Change, Input, Moment, described, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()
RowT = TypeVar("RowT", bound=Model)

Mode = Annotated[str, described(["", *RoutingMode.values])]
TEXT_DAYS = "For how many days prompts and answers of its calls are kept; 0 keeps none."
PATTERNS = "The models it may use: provider/model, or provider/* for all of one; none allow all."


class TeamIn(Input):
    """A new team."""

    slug: str = Field(description="Short and stable; shown in reports.")
    name: str
    zone: str = Field("UTC", description="An IANA name such as Europe/Prague.")
    enabled: StrictBool = True
    allowed_models: list[str] = Field([], description=PATTERNS)
    routing_mode: Mode = Field("", description="Empty takes the installation's.")
    text_days: StrictInt = Field(0, description=TEXT_DAYS)


class TeamChange(Change):
    """What to change of a team. Its slug stays."""

    name: str = KEPT
    zone: str = KEPT
    enabled: StrictBool = KEPT
    allowed_models: list[str] = Field(KEPT, description=PATTERNS)
    routing_mode: Mode = Field(KEPT, description="Empty takes the installation's.")
    text_days: StrictInt = Field(KEPT, description=TEXT_DAYS)


class TeamOut(Schema):
    """A group of people and integrations that share budgets."""

    slug: str
    name: str
    zone: str
    enabled: bool
    allowed_models: list[str] = Field(description=PATTERNS)
    routing_mode: Mode = Field(description="Empty: the installation's.")
    text_days: int = Field(description=TEXT_DAYS)
    created_at: Moment

    @classmethod
    def of(cls, team: Team) -> TeamOut:
        return cls(
            slug=team.slug,
            name=team.name,
            zone=team.zone,
            enabled=team.enabled,
            allowed_models=team.allowed_models,
            routing_mode=team.routing_mode,
            text_days=team.text_days,
            created_at=team.created_at,
        )


class KeyIn(Input):
    """A new key."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    name: str = Field(description="What it is for.")
    expires_at: Moment | None = None
    routing_mode: Mode = Field("", description="Empty takes the team's.")


class KeyChange(Change):
    """What to change of a key."""

    name: str = KEPT
    routing_mode: Mode = Field(KEPT, description="Empty takes the team's.")


class KeyQuery(PageQuery):
    """Which keys."""

    team: str | None = Field(None, description="A team's slug.")


class KeyOut(Schema):
    """A key, without its secret."""

    id: str = Field(description="The public part of the key.")
    team: str
    name: str
    shown: str = Field(description="The key as it may be shown.")
    created_by: str | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    routing_mode: Mode = Field(description="Empty: the team's.")

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        return cls(
            id=key.public_id,
            team=key.team.slug,
            name=key.name,
            shown=key.shown,
            created_by=key.created_by.get_username() if key.created_by else None,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            routing_mode=key.routing_mode,
        )


class NewKeyOut(KeyOut):
    """A key just made, with its text, which is given this once."""

    key: str


@router.get("/teams", response=Page[TeamOut], operation_id="list_teams", summary="List your teams")
def list_teams(request: ActorRequest, page: Query[PageQuery]) -> Page[TeamOut]:
    """The teams you act for; every team with the permission `governance.view_team`."""
    rows, following = read_page(request.auth.teams("governance.view_team"), page, by="slug")
    return Page[TeamOut](items=[TeamOut.of(row) for row in rows], next_cursor=following)


@router.post("/teams", response={201: TeamOut}, operation_id="add_team", summary="Add a team")
def add_team(request: ActorRequest, body: TeamIn) -> Status[TeamOut]:
    """Needs the permission `governance.add_team`."""
    request.auth.require("governance.add_team")
    team = Team(**body.model_dump())
    team.full_clean()
    team.save()
    return Status(201, TeamOut.of(team))


@router.patch(
    "/teams/{slug:team_slug}",
    response=TeamOut,
    operation_id="change_team",
    summary="Change a team",
    openapi_extra=refusals({404: "There is no such team."}),
)
def change_team(request: ActorRequest, team_slug: str, body: TeamChange) -> TeamOut:
    """Holds within a second for every call that begins. Needs `governance.change_team`."""
    request.auth.require("governance.change_team")
    with transaction.atomic():
        team = find(Team.objects.select_for_update(), slug=team_slug)
        return TeamOut.of(_changed(team, body.given()))


def _changed(row: RowT, values: dict[str, Any]) -> RowT:
    """`row` with `values`, stored. Raises `ValidationError` with every fault; stores none then."""
    for field, value in values.items():
        setattr(row, field, value)
    row.full_clean()
    row.save()
    return row


@router.get(
    "/keys",
    response=Page[KeyOut],
    operation_id="list_keys",
    summary="List keys",
    openapi_extra=refusals({404: "There is no such team, or you do not act for it."}),
)
def list_keys(request: ActorRequest, page: Query[KeyQuery]) -> Page[KeyOut]:
    """The keys of your teams, newest first, revoked ones included. Never their secrets."""
    permission = "governance.view_apikey"
    rows = ApiKey.objects.select_related("team", "created_by").filter(
        request.auth.within(permission)
    )
    if page.team is not None:
        rows = rows.filter(team=request.auth.team(page.team, permission))
    shown, following = read_page(rows, page, by="-created_at")
    return Page[KeyOut](items=[KeyOut.of(row) for row in shown], next_cursor=following)


@router.post(
    "/keys",
    response={201: NewKeyOut},
    operation_id="add_key",
    summary="Make a key",
    openapi_extra=refusals(
        {
            403: "A key cannot make keys: sign in.",
            404: "There is no such team, or you do not act for it.",
        }
    ),
)
def add_key(request: ActorRequest, body: KeyIn) -> Status[NewKeyOut]:
    """The answer has the key's text in `key`, this once. A person makes keys, not another key, so
    that a key that leaked cannot outlive its revocation."""
    person = request.auth.require_person("Making a key")
    new = keys.create(
        team=request.auth.team(body.team, "governance.add_apikey"),
        name=body.name,
        created_by=person,
        expires_at=body.expires_at,
        routing_mode=body.routing_mode,
    )
    return Status(201, NewKeyOut(**dict(KeyOut.of(new.record)), key=new.text))


@router.patch(
    "/keys/{slug:key_id}",
    response=KeyOut,
    operation_id="change_key",
    summary="Change a key",
    openapi_extra=refusals({403: "Only a manager may change a key somebody else made."}),
)
def change_key(request: ActorRequest, key_id: str, body: KeyChange) -> KeyOut:
    """Its name and its routing mode. A person changes keys: not another key, nor itself."""
    request.auth.require_person("Changing a key")
    with transaction.atomic():
        rows = ApiKey.objects.filter(request.auth.within("governance.view_apikey"))
        key = find(rows.select_related("team", "created_by"), public_id=key_id)
        if not request.auth.may_revoke(key):
            raise PermissionDenied(
                "Only the person who made this key or a manager of its team may change it."
            )
        values = body.given()
        if "name" in values:
            values["name"] = values["name"].strip()
        return KeyOut.of(_changed(key, values))


@router.delete(
    "/keys/{slug:key_id}",
    response={204: None},
    operation_id="revoke_key",
    summary="Revoke a key",
    openapi_extra=refusals({403: "Only a manager may revoke a key somebody else made."}),
)
def revoke_key(request: ActorRequest, key_id: str) -> Status[None]:
    """Calls with it are refused from now on, everywhere within a second. It stays listed. Revoking
    it again changes nothing. A key may revoke itself."""
    rows = ApiKey.objects.select_related("team").filter(
        request.auth.within("governance.view_apikey")
    )
    key = find(rows, public_id=key_id)
    if not request.auth.may_revoke(key):
        raise PermissionDenied(
            "Only the person who made this key, a manager of its team or the key itself may "
            "revoke it."
        )
    keys.revoke(key)
    return Status(204, None)
