"""Which model answers calls that ask for `auto`, role by role."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from providers.models import ProviderModel


def make_default(model: ProviderModel) -> None:
    """Let `model` be its role's default, in place of the one that is. Raises `ValidationError` for
    one that is not in use."""
    if not model.enabled or not model.provider.enabled:
        which = "It" if not model.enabled else f"Its provider, {model.provider.name},"
        raise ValidationError(f"{model} cannot be the default. {which} is disabled; enable it.")
    with transaction.atomic():
        others = ProviderModel.objects.filter(role=model.role, is_default=True)
        others.exclude(pk=model.pk).update(is_default=False)
        ProviderModel.objects.filter(pk=model.pk).update(is_default=True)
