"""What every room's part of the JSON API has in common.

Times are ISO 8601 in UTC with a Z, identifiers are strings. A body that names a field nobody knows
is refused, because the caller meant something by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

Row = TypeVar("Row", bound=Model)
TIME_EXAMPLE = "2026-03-01T09:00:00Z"


def moment_text(moment: datetime) -> str:
    """`moment` in UTC, to the microsecond: 2026-03-01T09:00:00.000000Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("time", f"Give a time such as {TIME_EXAMPLE}.")


def _moment(value: Any) -> datetime:
    moment = _time(value)
    if moment.tzinfo is None:
        raise PydanticCustomError(
            "moment_offset", f"Give the time with its offset from UTC, such as {TIME_EXAMPLE}."
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment_range", "That time is too far away.") from None


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(moment_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [TIME_EXAMPLE]}),
]


def _moment_or_clock_time(value: Any) -> datetime:
    time = _time(value)
    return time if time.tzinfo is None else _moment(time)


# A time without an offset is left to whoever knows the zone whose clocks are meant.
MomentOrClockTime = Annotated[
    datetime,
    BeforeValidator(_moment_or_clock_time),
    WithJsonSchema({"type": "string", "examples": [TIME_EXAMPLE, "2026-03-01T09:00:00"]}),
]


class Input(Schema):
    """What a caller sends."""

    model_config = ConfigDict(extra="forbid")


# The default of every field of a `Change`: never seen, because only what was given is read.
KEPT: Any = None


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Change(Input):
    """What a caller wants changed. A field left out keeps its value."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    def given(self) -> dict[str, Any]:
        """The fields the caller named, and only those."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def find(rows: QuerySet[Row], **lookup: Any) -> Row:
    """The one of `rows` that `lookup` names. Raises `Http404` in words if there is none.

    `rows` are those the caller may see, so that another team's look like none.
    """
    row = rows.filter(**lookup).first()
    if row is None:
        named = ", ".join(str(value) for value in lookup.values())
        raise Http404(f"There is no {rows.model._meta.verbose_name} “{named}” that you may see.")
    return row


def refusals(sentences: dict[int, str]) -> dict[str, Any]:
    """For `openapi_extra`: what an operation says no to, by status, where it is not the usual."""
    return {"responses": {status: {"description": text} for status, text in sentences.items()}}


def described(choices: Iterable[str]) -> WithJsonSchema:
    """Documents a field's choices and leaves refusing others to the model, with its other rules."""
    return WithJsonSchema({"type": "string", "enum": list(choices)})
