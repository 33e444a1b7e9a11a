"""What the JSON API can do with the registry."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router, Status

from providers.api.conventions import find, refusals
from providers.api.credentials import Actor, save_provider
from providers.api.pages import Page, PageQuery, read_page
from providers.api.schemas import (
    ModelChange,
    ModelIn,
    ModelOut,
    ProviderChange,
    ProviderIn,
    ProviderOut,
)
from providers.models import Provider, ProviderModel

router = Router()


class ActorRequest(HttpRequest):
    """A request that was let in, by `auth`."""

    auth: Actor


@router.get(
    "/providers",
    response=Page[ProviderOut],
    operation_id="list_providers",
    summary="List the providers",
)
def list_providers(request: ActorRequest, page: Query[PageQuery]) -> Page[ProviderOut]:
    """Every provider, by name. Needs the permission `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    rows, following = read_page(Provider.objects.select_related("credential"), page, by="name")
    return Page[ProviderOut](items=[ProviderOut.of(row) for row in rows], next_cursor=following)


@router.post(
    "/providers",
    response={201: ProviderOut},
    operation_id="add_provider",
    summary="Add a provider",
)
def add_provider(request: ActorRequest, body: ProviderIn) -> Status[ProviderOut]:
    """Needs `providers.add_provider`, and `providers.add_secret` if a secret is sent with it."""
    request.auth.require("providers.add_provider")
    values = {name: getattr(body, name) for name in ProviderIn.model_fields}
    return Status(201, ProviderOut.of(save_provider(Provider(), values, request.auth)))


@router.get(
    "/providers/{slug:name}",
    response=ProviderOut,
    operation_id="get_provider",
    summary="Show a provider",
)
def get_provider(request: ActorRequest, name: str) -> ProviderOut:
    """Needs the permission `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    return ProviderOut.of(find(Provider.objects.select_related("credential"), name=name))


@router.patch(
    "/providers/{slug:name}",
    response=ProviderOut,
    operation_id="change_provider",
    summary="Change a provider",
)
def change_provider(request: ActorRequest, name: str, body: ProviderChange) -> ProviderOut:
    """Needs `providers.change_provider`. A secret sent replaces the text of the one it uses, for
    every provider that uses it, and needs `providers.change_secret`."""
    request.auth.require("providers.change_provider")
    with transaction.atomic():
        provider = find(Provider.objects.select_for_update(), name=name)
        return ProviderOut.of(save_provider(provider, body.given(), request.auth))


@router.post(
    "/providers/{slug:name}/models",
    response={201: ModelOut},
    operation_id="add_model",
    summary="Add a model to a provider",
)
def add_model(request: ActorRequest, name: str, body: ModelIn) -> Status[ModelOut]:
    """Needs the permission `providers.add_providermodel`."""
    request.auth.require("providers.add_providermodel")
    model = ProviderModel(provider=find(Provider.objects.all(), name=name), **body.model_dump())
    model.full_clean()
    model.save()
    return Status(201, ModelOut.of(model))


@router.patch(
    "/models/{int:model_id}",
    response=ModelOut,
    operation_id="change_model",
    summary="Change a model",
    openapi_extra=refusals({404: "There is no model of that identifier."}),
)
def change_model(request: ActorRequest, model_id: int, body: ModelChange) -> ModelOut:
    """Needs the permission `providers.change_providermodel`."""
    request.auth.require("providers.change_providermodel")
    with transaction.atomic():
        rows = ProviderModel.objects.select_related("provider").select_for_update(of=("self",))
        model = find(rows, pk=model_id)
        for field, value in body.given().items():
            setattr(model, field, value)
        model.full_clean()
        model.save()
    return ModelOut.of(model)
