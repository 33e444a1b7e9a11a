"""Model and form fields for money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from governance.money import from_nano_dollars, to_nano_dollars


class DollarsField(forms.DecimalField):
    """A form field that shows US dollars and gives integer nano-dollars."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 18)
        kwargs.setdefault("decimal_places", 9)
        kwargs.setdefault("min_value", 0)
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        # As text: a Decimal this small would print itself as 1E-9.
        return f"{from_nano_dollars(value).normalize():f}" if isinstance(value, int) else value

    def clean(self, value: Any) -> int | None:
        dollars: Decimal | None = super().clean(value)
        return None if dollars is None else to_nano_dollars(dollars)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(initial != self.clean(data))
        except ValidationError:
            return True


class NanoDollarsField(models.BigIntegerField[int, int]):
    """Integer nano-dollars in the database and in Python, US dollars in forms."""

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.pop("min_value", None)
        kwargs.pop("max_value", None)
        return models.Field.formfield(self, **{"form_class": DollarsField, **kwargs})
