"""What the JSON API can do with the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Prefetch, ProtectedError, QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Status

from providers.api.conventions import find, refusals
from providers.api.credentials import Actor, save_provider
from providers.api.pages import Page, PageQuery, read_page
from providers.api.preset_schemas import (
    FailoverPolicyChange,
    FailoverPolicyOut,
    FromPresetIn,
    PresetList,
    PresetOut,
)
from providers.api.provider_schemas import ProviderChange, ProviderIn, ProviderOut
from providers.api.schemas import ModelChange, ModelIn, ModelOut, row_values
from providers.credentials import find_secret, secret_for
from providers.models import (
    Credential,
    FailoverPolicy,
    Provider,
    ProviderModel,
    Secret,
    failover_policy,
)
from providers.presets import ADDING, BY_KEY, PRESETS, WITH_A_KEY, add_from_preset

router = Router()
VIEW_CREDENTIAL = "providers.view_credential"
IN_USE = {409: "Something depends on it, or somebody changed it at the same moment."}


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
    rows, following = read_page(_with_credentials(), page, by="name")
    whole = request.auth.may(VIEW_CREDENTIAL)
    items = [ProviderOut.of(row, whole=whole) for row in rows]
    return Page[ProviderOut](items=items, next_cursor=following)


def _with_credentials() -> QuerySet[Provider]:
    credentials = Credential.objects.select_related("secret").order_by("position", "pk")
    providers: QuerySet[Provider] = Provider.objects.prefetch_related(
        Prefetch("credentials", credentials)
    )
    return providers


def _shown(provider: Provider, actor: Actor) -> ProviderOut:
    """As far as they may see it."""
    row = _with_credentials().get(pk=provider.pk)
    return ProviderOut.of(row, whole=actor.may(VIEW_CREDENTIAL))


@router.post(
    "/providers",
    response={201: ProviderOut},
    operation_id="add_provider",
    summary="Add a provider",
)
def add_provider(request: ActorRequest, body: ProviderIn) -> Status[ProviderOut]:
    """Needs `providers.add_provider`, `providers.add_credential` if credentials are sent with it,
    and `providers.add_secret` if one of them is not stored yet."""
    request.auth.require("providers.add_provider")
    saved = save_provider(Provider(), body.values(), request.auth)
    return Status(201, _shown(saved, request.auth))


@router.get(
    "/provider-presets",
    response=PresetList,
    operation_id="list_provider_presets",
    summary="List the usual hosts of models",
)
def list_presets(request: ActorRequest) -> PresetList:
    """The hosts that can be added by name. Needs the permission `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    return PresetList(items=[PresetOut.of(preset) for preset in PRESETS])


@router.post(
    "/providers/from-preset",
    response={201: ProviderOut},
    operation_id="add_provider_from_preset",
    summary="Add one of the usual hosts",
)
def add_provider_from_preset(request: ActorRequest, body: FromPresetIn) -> Status[ProviderOut]:
    """The provider, its key and its models in one step. Needs `providers.add_provider` and
    `providers.add_providermodel`, and for a key `providers.add_credential` and
    `providers.add_secret`."""
    for permission in ADDING:
        request.auth.require(permission)
    preset = BY_KEY.get(body.preset)
    if preset is None:
        raise ValidationError({"preset": f"There is none of this name, only {', '.join(BY_KEY)}."})
    with transaction.atomic(), _said_of_the_secret():
        provider = add_from_preset(
            preset,
            name=body.name,
            key=_key(body, request.auth),
            secret=_named_secret(body, request.auth),
            base_url=body.base_url,
            models=body.models,
        )
    return Status(201, _shown(provider, request.auth))


@contextmanager
def _said_of_the_secret() -> Iterator[None]:
    """What is wrong with the key is said of the field that carries it here."""
    try:
        yield
    except ValidationError as error:
        found = error.error_dict
        if "key" in found:
            found["secret"] = found.pop("key")
        raise ValidationError(found) from None


def _key(body: FromPresetIn, actor: Actor) -> str:
    if body.secret is None:
        return ""
    if body.credential is not None:
        raise ValidationError({"secret": "Give either the secret or the credential, not both."})
    for permission in WITH_A_KEY:
        actor.require(permission)
    return body.secret.get_secret_value()


def _named_secret(body: FromPresetIn, actor: Actor) -> Secret | None:
    if body.credential is None:
        return None
    actor.require("providers.add_credential")
    try:
        found = find_secret(body.credential)
        if found is None:
            actor.require("providers.add_secret")
        return found or secret_for(body.credential)
    except ValidationError as error:
        raise ValidationError({"credential": error.messages}) from None


@router.get(
    "/providers/{slug:name}",
    response=ProviderOut,
    operation_id="get_provider",
    summary="Show a provider",
)
def get_provider(request: ActorRequest, name: str) -> ProviderOut:
    """Needs the permission `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    row = find(_with_credentials(), name=name)
    return ProviderOut.of(row, whole=request.auth.may(VIEW_CREDENTIAL))


@router.patch(
    "/providers/{slug:name}",
    response=ProviderOut,
    operation_id="change_provider",
    summary="Change a provider",
)
def change_provider(request: ActorRequest, name: str, body: ProviderChange) -> ProviderOut:
    """Needs `providers.change_provider`, and to write its credentials the permission to add, change
    or delete such. A secret sent replaces the text of the one in its place, for every provider that
    uses it, and needs `providers.change_secret`."""
    request.auth.require("providers.change_provider")
    with transaction.atomic():
        provider = find(Provider.objects.select_for_update(), name=name)
        return _shown(save_provider(provider, body.given(), request.auth), request.auth)


@router.delete(
    "/providers/{slug:name}",
    response={204: None},
    operation_id="delete_provider",
    summary="Delete a provider without models",
    openapi_extra=refusals(IN_USE),
)
def delete_provider(request: ActorRequest, name: str) -> Status[None]:
    """Its credentials go with it; the secrets stay. Needs `providers.delete_provider`."""
    request.auth.require("providers.delete_provider")
    with transaction.atomic():
        provider = find(Provider.objects.select_for_update(), name=name)
        _refuse_if_used(provider.models.all())
        provider.delete()
    return Status(204, None)


@router.post(
    "/providers/{slug:name}/models",
    response={201: ModelOut},
    operation_id="add_model",
    summary="Add a model to a provider",
)
def add_model(request: ActorRequest, name: str, body: ModelIn) -> Status[ModelOut]:
    """Needs the permission `providers.add_providermodel`."""
    request.auth.require("providers.add_providermodel")
    provider = find(Provider.objects.all(), name=name)
    model = ProviderModel(provider=provider, **row_values(body.model_dump()))
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
        model = find(_one_model(), pk=model_id)
        given = row_values(body.given())
        changed = [field for field, value in given.items() if getattr(model, field) != value]
        for field, value in given.items():
            setattr(model, field, value)
        model.note_changes(changed)
        model.full_clean()
        model.save()
    return ModelOut.of(model)


@router.delete(
    "/models/{int:model_id}",
    response={204: None},
    operation_id="delete_model",
    summary="Delete a model without prices",
    openapi_extra=refusals({404: "There is no model of that identifier.", **IN_USE}),
)
def delete_model(request: ActorRequest, model_id: int) -> Status[None]:
    """Needs the permission `providers.delete_providermodel`."""
    request.auth.require("providers.delete_providermodel")
    with transaction.atomic():
        model = find(_one_model(), pk=model_id)
        for relation in ProviderModel._meta.related_objects:
            rows = relation.related_model._default_manager.filter(**{relation.field.name: model})
            _refuse_if_used(rows)
        model.delete()
    return Status(204, None)


def _one_model() -> QuerySet[ProviderModel]:
    models: QuerySet[ProviderModel] = ProviderModel.objects.select_related(
        "provider"
    ).select_for_update(of=("self",))
    return models


def _refuse_if_used(rows: QuerySet[Any]) -> None:
    used: set[Model] = set(rows[:1])
    if used:
        raise ProtectedError("Something depends on it.", used)


@router.get(
    "/failover-policy",
    response=FailoverPolicyOut,
    operation_id="get_failover_policy",
    summary="Show the failover policy",
)
def get_failover_policy(request: ActorRequest) -> FailoverPolicyOut:
    """Needs the permission `providers.view_failoverpolicy`."""
    request.auth.require("providers.view_failoverpolicy")
    return FailoverPolicyOut.of(FailoverPolicy.objects.first() or FailoverPolicy())


@router.patch(
    "/failover-policy",
    response=FailoverPolicyOut,
    operation_id="change_failover_policy",
    summary="Change the failover policy",
)
def change_failover_policy(request: ActorRequest, body: FailoverPolicyChange) -> FailoverPolicyOut:
    """Needs the permission `providers.change_failoverpolicy`."""
    request.auth.require("providers.change_failoverpolicy")
    policy = failover_policy()
    for field, value in body.given().items():
        setattr(policy, field, value)
    policy.full_clean()
    policy.save()
    return FailoverPolicyOut.of(policy)
