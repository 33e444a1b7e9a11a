"""Saves a provider together with the credentials that were sent with it: all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction

from providers.api.provider_schemas import CredentialIn
from providers.credentials import VAULT, find_secret, secret_for, store_secret, written
from providers.models import Credential, Provider, Secret


class Actor(Protocol):
    """Whoever sent a request, as far as the registry asks."""

    def may(self, permission: str) -> bool:
        """Whether they hold that permission for the organisation."""

    def require(self, permission: str) -> None:
        """Raise `PermissionDenied` unless they hold that permission for the organisation."""


@dataclass(slots=True)
class _Wanted:
    """One credential as it should be: of a `secret` that is there, or of a `text` to store.

    `row` is the provider's present credential that it is about, if there is one.
    """

    enabled: bool
    secret: Secret | None = None
    reference: str = ""
    text: str = field(default="", repr=False)
    row: Credential | None = None


def save_provider(provider: Provider, values: dict[str, Any], actor: Actor) -> Provider:
    """Change `provider` by `values`, of which `credentials` are a list of `CredentialIn`.

    Raises `ValidationError` with every fault and `PermissionDenied` if a credential or a secret is
    written by someone who may not; nothing is stored then.
    """
    values = dict(values)
    given: list[CredentialIn] | None = values.pop("credentials", None)
    faults: dict[str, Any] = {}
    with transaction.atomic():
        for field, value in values.items():
            setattr(provider, field, value)
        present = _present(provider)
        kept = _shared(present) if provider.leads_elsewhere() else set()
        wanted = [] if given is None else _wanted(given, present, faults, kept=kept)
        if given is not None:
            _retire(present, wanted, actor)
        try:
            provider.full_clean()
        except ValidationError as error:
            faults |= error.error_dict
        if faults:
            raise ValidationError(faults)
        provider.save()
        for position, one in enumerate(wanted):
            _write(provider, one, position, actor)
    return provider


def _present(provider: Provider) -> list[Credential]:
    if provider.pk is None:
        return []
    return list(provider.credentials.select_related("secret").order_by("position", "pk"))


def _shared(present: Sequence[Credential]) -> set[int]:
    """The secrets that other providers are called with as well: a key for the host that this one
    leads to from now on must not be sent to theirs."""
    uses = Credential.objects.filter(secret__in=[row.secret_id for row in present])
    others = uses.exclude(pk__in=[row.pk for row in present])
    return set(others.values_list("secret", flat=True))


def _wanted(
    given: Sequence[CredentialIn],
    present: Sequence[Credential],
    faults: dict[str, Any],
    *,
    kept: set[int],
) -> list[_Wanted]:
    """What was given, with the row that each is about; what is wrong with it goes to `faults`. The
    secrets `kept` get no new text."""
    wanted = [_named(one, f"credentials.{number}", faults) for number, one in enumerate(given)]
    rows = {row.secret_id: row for row in present}
    for number, one in enumerate(wanted):
        if one.secret is not None:
            one.row = rows.pop(one.secret.pk, None)
            if one.row is None and one.secret.pk in {other.secret_id for other in present}:
                faults[f"credentials.{number}.name"] = "This secret is named twice."
    free = set(rows) - kept
    for one, row in zip(wanted, present, strict=False):
        # A text takes the place of the stored secret that stands where it stands.
        if one.text and row.secret_id in free and not row.secret.reference:
            one.row, one.secret = row, row.secret
    return wanted


def _named(one: CredentialIn, path: str, faults: dict[str, Any]) -> _Wanted:
    wanted = _Wanted(enabled=one.enabled)
    if (one.name is None) == (one.secret is None):
        faults[path] = "Give either the name of a secret or a secret to store."
    elif one.secret is not None:
        try:
            wanted.text = written(one.secret.get_secret_value())
        except ValidationError as error:
            faults[f"{path}.secret"] = error.messages
    else:
        try:
            wanted.secret = find_secret(one.name or "")
            wanted.reference = one.name or ""
            if wanted.secret is None and wanted.reference.startswith(VAULT):
                faults[f"{path}.name"] = "There is no stored secret of this name."
        except ValidationError as error:
            faults[f"{path}.name"] = error.messages
    return wanted


def _retire(present: Sequence[Credential], wanted: Sequence[_Wanted], actor: Actor) -> None:
    """Take away what is no longer wanted, and disable what is to be disabled, or gets a new text
    until that is written: to the rules about the provider's address none of these counts as a key
    of the host it has now.
    """
    kept = {one.row.pk for one in wanted if one.row is not None}
    gone = [row.pk for row in present if row.pk not in kept]
    if gone:
        actor.require("providers.delete_credential")
        Credential.objects.filter(pk__in=gone).delete()
    rows = [one.row.pk for one in wanted if one.row is not None and (one.text or not one.enabled)]
    if rows:
        actor.require("providers.change_credential")
        Credential.objects.filter(pk__in=rows).update(enabled=False)


def _write(provider: Provider, one: _Wanted, position: int, actor: Actor) -> None:
    path = f"credentials.{position}"
    try:
        secret = _secret(provider, one, actor)
    except ValidationError as error:
        raise ValidationError({path: error.messages}) from None
    row = one.row or Credential(provider=provider, secret=secret)
    after = (position, one.enabled)
    if row.pk is not None and (row.position, row.enabled) == after and not one.text:
        return
    actor.require(f"providers.{'add' if row.pk is None else 'change'}_credential")
    row.position, row.enabled = after
    try:
        row.full_clean()
    except ValidationError as error:
        raise ValidationError({path: error.messages}) from None
    row.save()


def _secret(provider: Provider, one: _Wanted, actor: Actor) -> Secret:
    if not one.text:
        if one.secret is None:
            actor.require("providers.add_secret")
        return one.secret or secret_for(one.reference)
    if one.secret is None:
        actor.require("providers.add_secret")
        return store_secret(provider.name, one.text)
    actor.require("providers.change_secret")
    one.secret.set_text(one.text)
    one.secret.full_clean()
    one.secret.save()
    return one.secret
