"""Lists in pages that stay right while rows come and go.

A page ends at a position, not at a count: the next one begins behind the last row shown, whatever
was added or removed meanwhile. The position is signed, so a cursor is either one that this list
gave or a fault of the caller's, never a surprise for the database.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from ninja import Schema
from pydantic import Field

DEFAULT_LIMIT = 50
HIGHEST_LIMIT = 200

Row = TypeVar("Row", bound=Model)
Item = TypeVar("Item")


class PageQuery(Schema):
    """Which page of a list."""

    limit: int = Field(
        DEFAULT_LIMIT, ge=1, le=HIGHEST_LIMIT, description="How many to give at most."
    )
    cursor: str | None = Field(
        None, description="The `next_cursor` of the page before; leave it out for the first."
    )


class Page(Schema, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


def read_page(rows: QuerySet[Row], query: PageQuery, *, by: str) -> tuple[list[Row], str | None]:
    """One page of `rows` by the field `by` (descending with a leading “-”), then primary key.

    `by` must never be empty. Returns the rows and the cursor behind them, None when these are the
    last. Raises `ValidationError` for a cursor that this list did not give. One query.
    """
    descending, field = by.startswith("-"), by.lstrip("-")
    salt = f"palyra.cursor.{rows.model._meta.label_lower}.{by}"
    if query.cursor is not None:
        value, key = _position(query.cursor, salt, rows.model, field)
        beyond, reached = ("lt", "lte") if descending else ("gt", "gte")
        rows = rows.filter(
            # The first condition says nothing new; it lets the database seek in the index.
            Q(**{f"{field}__{reached}": value}),
            Q(**{f"{field}__{beyond}": value}) | Q(**{f"pk__{beyond}": key}),
        )
    found = list(rows.order_by(by, "-pk" if descending else "pk")[: query.limit + 1])
    shown = found[: query.limit]
    if len(found) == len(shown):
        return shown, None
    last = shown[-1]
    position = [_text(last, field), _text(last, rows.model._meta.pk.attname)]
    return shown, signing.Signer(salt=salt).sign_object(position)


def _text(row: Model, field: str) -> str:
    value = row.serializable_value(field)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _position(cursor: str, salt: str, model: type[Model], field: str) -> tuple[Any, Any]:
    try:
        value, key = signing.Signer(salt=salt).unsign_object(cursor)
    except signing.BadSignature:
        raise ValidationError(
            {"cursor": "This list did not give that cursor. Begin again without one."}
        ) from None
    column: Any = model._meta.get_field(field)
    return column.to_python(value), model._meta.pk.to_python(key)
