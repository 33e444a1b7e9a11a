"""What governance adds to the API's conventions: who asks, amounts and integer identifiers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from governance.actors import Actor
from governance.amounts import units_text
from governance.fields import DollarsField
from governance.models import BudgetMetric
from governance.money import decimal_text

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,30}")
MOST_DIGITS = 18


class ActorRequest(HttpRequest):
    """A request that was let in, by `auth`."""

    auth: Actor


def dollars(text: str) -> int:
    """Nano-dollars. Raises `ValueError` in words, by the rules of the console's money fields."""
    try:
        amount = DollarsField(min_value=None).clean(text)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    assert amount is not None  # the field is required
    return amount


def counted(metric: str, text: str) -> int:
    """An amount of a budget's metric: nano-dollars for cost. Raises `ValueError` in words."""
    if metric == BudgetMetric.COST:
        return dollars(text)
    if not WHOLE_NUMBER.fullmatch(text.strip()):
        raise ValueError(f"Give a whole number of {units_text(metric)}, such as “1000”.")
    return int(text)


def dollars_json(amount: int | None) -> str | None:
    """Nano-dollars as JSON gives them; unknown is null, not zero."""
    return None if amount is None else decimal_text(amount)


def _exact(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise PydanticCustomError("amount", "Give the amount as a string, such as “12.50”.")


def _nano_dollars(value: Any) -> int:
    try:
        return dollars(_exact(value))
    except ValueError as error:
        raise PydanticCustomError("dollars", "{why}", {"why": str(error)}) from None


def _row_id(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    raise PydanticCustomError("identifier", "Give an identifier as this API gave it, a string.")


# Whole numbers may also be sent as such; a fraction is only exact as a string.
Amount = Annotated[
    str,
    BeforeValidator(_exact),
    WithJsonSchema(
        {
            "type": "string",
            "description": "US dollars for cost, such as 12.50; otherwise a whole number.",
            "examples": ["12.50"],
        }
    ),
]
Dollars = Annotated[
    int,
    BeforeValidator(_nano_dollars),
    WithJsonSchema({"type": "string", "description": "US dollars.", "examples": ["0.15"]}),
]
RowId = Annotated[int, BeforeValidator(_row_id), WithJsonSchema({"type": "string"})]
