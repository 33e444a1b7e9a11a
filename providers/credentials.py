"""Secrets by the names that API, forms and files give them: vault:name, env:NAME, file:/path."""

from __future__ import annotations

import re
from itertools import count

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.utils.text import slugify

from providers.models import Secret
from providers.references import validate_reference

VAULT = "vault:"
LONGEST_NAME = 50
HOW_TO_NAME = (
    "Give vault:name for a stored secret, env:NAME for a variable of Palyra's environment, or "
    "file:/path for a file."
)


def find_secret(text: str) -> Secret | None:
    """The secret that `text` names, if there is one. Raises `ValidationError` if it names none."""
    if text.startswith(VAULT):
        name = text.removeprefix(VAULT)
        return Secret.objects.filter(name=name).first() if _is_slug(name) else None
    try:
        validate_reference(text)
    except ValidationError as error:
        raise ValidationError(HOW_TO_NAME) if error.code == "reference" else error from None
    found: Secret | None = Secret.objects.filter(reference=text).order_by("pk").first()
    return found


def secret_for(text: str) -> Secret:
    """The secret that `text` names; one that is kept elsewhere is stored under a name of its own.

    Raises `ValidationError` if it names none, or a stored secret that is not there.
    """
    found = find_secret(text)
    if found is not None:
        return found
    if text.startswith(VAULT):
        raise ValidationError("There is no stored secret of this name.")
    secret = Secret(name=free_name(text))
    secret.set_reference(text)
    secret.full_clean()
    secret.save()
    return secret


def store_secret(wanted_name: str, text: str) -> Secret:
    """A new secret in the vault, under the name wanted or, where that is taken, one like it.

    Raises `ValidationError` if the text is empty or there is no key to encrypt it with.
    """
    secret = Secret(name=free_name(wanted_name))
    secret.set_text(written(text))
    secret.full_clean()
    secret.save()
    return secret


def written(text: str) -> str:
    """A secret as it was pasted, without surrounding blanks. Raises `ValidationError` if empty."""
    if not text.strip():
        raise ValidationError("The secret is empty.")
    return text.strip()


def free_name(wanted: str) -> str:
    """`wanted` as a secret's name; with a number behind it where that name is taken."""
    base = slugify(re.sub(r"[^A-Za-z0-9_]+", "-", wanted))[:LONGEST_NAME].strip("-") or "secret"
    taken = set(
        Secret.objects.filter(name__startswith=base[: LONGEST_NAME - 6]).values_list(
            "name", flat=True
        )
    )
    if base not in taken:
        return base
    numbered = (f"{base[: LONGEST_NAME - 6]}-{number}" for number in count(2))
    return next(name for name in numbered if name not in taken)


def _is_slug(name: str) -> bool:
    try:
        validate_slug(name)
    except ValidationError:
        return False
    return True
