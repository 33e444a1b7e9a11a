"""Reads bodies and queries, and refuses what nothing behind it should have to deal with.

That is text no database can hold, and a query's names that mean nothing: a filter with a spelling
mistake would otherwise give everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from ninja.errors import ValidationError
from ninja.parser import Parser

UNSTORABLE = "This text has a NUL character or half of a surrogate pair, which cannot be stored."


class StrictParser(Parser):
    """JSON as RFC 8259 has it: without NaN and Infinity, and with storable text only."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body's value. Raises `ValueError` for what is not JSON."""
        value = json.loads(request.body, parse_constant=_refuse_constant)
        _refuse_unstorable(value, ("body", "body"))
        return value

    def parse_querydict(
        self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        """The query's values, one a name unless the field is a list."""
        values: dict[str, Any] = super().parse_querydict(data, list_fields, request)
        known = getattr(request, "palyra_query_names", None)
        unknown = [] if known is None else sorted(values.keys() - known)
        if unknown:
            raise ValidationError(
                [{"type": "extra_forbidden", "loc": ("query", name)} for name in unknown]
            )
        _refuse_unstorable(values, ("query",))
        return values


def with_query_names(run: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Tell the parser which names an operation's query has; `run` is the operation's method."""
    names = frozenset(
        name
        for model in run.__self__.models  # type: ignore[attr-defined]
        if model.__ninja_param_source__ == "query"
        for name in model.__ninja_flatten_map__
    )

    @wraps(run)
    def run_with_names(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        request.palyra_query_names = names  # type: ignore[attr-defined]
        return run(request, **arguments)

    return run_with_names


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value.")


def _refuse_unstorable(value: Any, location: tuple[str | int, ...]) -> None:
    errors = [
        {"type": "unstorable", "loc": place, "msg": UNSTORABLE}
        for place in _unstorable(value, location)
    ]
    if errors:
        raise ValidationError(errors)


def _unstorable(value: Any, location: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str):
        if "\x00" in value or not _encodes(value):
            yield location
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unstorable(item, (*location, key if _encodes(key) else "?"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, (*location, index))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
