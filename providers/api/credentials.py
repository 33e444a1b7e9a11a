"""Saves a provider together with the credential that was sent with it: both or neither."""

from __future__ import annotations

from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction

from providers.api.schemas import CredentialIn
from providers.models import Provider, Secret


class Actor(Protocol):
    """Whoever sent a request, as far as the registry asks."""

    def require(self, permission: str) -> None:
        """Raise `PermissionDenied` unless they hold that permission for the organisation."""


def save_provider(provider: Provider, values: dict[str, Any], actor: Actor) -> Provider:
    """Change `provider` by `values`, of which `credential` is a `CredentialIn` or None.

    Raises `ValidationError` with every fault and `PermissionDenied` if a secret is written by
    someone who may not; nothing is stored then.
    """
    values = dict(values)
    faults: dict[str, Any] = {}
    with transaction.atomic():
        has_credential, credential = "credential" in values, values.pop("credential", None)
        for field, value in values.items():
            setattr(provider, field, value)
        try:
            provider.full_clean(exclude=["credential"])
        except ValidationError as error:
            faults = dict(error.error_dict)
        try:
            if has_credential:
                provider.credential = _stored(provider, credential, actor, name_is_good=not faults)
        except ValidationError as error:
            faults |= error.error_dict
        if faults:
            raise ValidationError(faults)
        provider.save()
    return provider


def _stored(
    provider: Provider, credential: CredentialIn | None, actor: Actor, *, name_is_good: bool
) -> Secret | None:
    if credential is None:
        return None
    if (credential.name is None) == (credential.secret is None):
        raise ValidationError(
            {"credential": "Give either the name of a stored secret or a secret to store."}
        )
    if credential.secret is None:
        found: Secret | None = Secret.objects.filter(name=credential.name).first()
        if found is None:
            raise ValidationError({"credential.name": "There is no stored secret of this name."})
        return found
    text = credential.secret.get_secret_value().strip()
    if not text:
        raise ValidationError({"credential.secret": "The secret is empty."})
    return _written(provider, text, actor) if name_is_good else None


def _written(provider: Provider, text: str, actor: Actor) -> Secret:
    secret = provider.credential
    actor.require("providers.add_secret" if secret is None else "providers.change_secret")
    secret = secret or Secret(name=provider.name)
    secret.set_text(text)
    try:
        secret.full_clean()
    except ValidationError as error:
        raise ValidationError(
            {f"credential.{field}": messages for field, messages in error.message_dict.items()}
        ) from None
    secret.save()
    return secret
