"""JSON schemas that Anthropic can hold a model to: a part of what JSON schema can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

KEPT = {
    "$ref",
    "$defs",
    "definitions",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "items",
    "anyOf",
    "allOf",
    "description",
    "title",
    "default",
    "additionalProperties",
}
FORMATS = {
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
}
NAMED = ("properties", "$defs", "definitions")
LISTED = ("anyOf", "allOf")
FEWEST_ITEMS = (0, 1)


def is_enforceable(schema: Any) -> bool:
    """Whether a model can be held to `schema` as it is."""
    return bool(schema == narrowed(schema))


def narrowed(schema: Any) -> Any:
    """`schema` in what can be enforced; the rest is put into descriptions, for the model to read.

    None where that would change what is asked for: an object of any names has no such form.
    """
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("additionalProperties") not in (None, False):
        return None
    narrow: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "oneOf" and "anyOf" not in schema:
            narrow["anyOf"] = _each(value)
        elif _is_kept(name, value):
            narrow[name] = _inner(name, value)
        else:
            rest[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        narrow["additionalProperties"] = False
    if rest:
        note = orjson.dumps(rest).decode()
        narrow["description"] = f"{schema.get('description') or ''}\n\n{note}".strip()
    return None if _lost(narrow) else narrow


def _is_kept(name: str, value: Any) -> bool:
    if name == "format":
        return value in FORMATS
    if name == "minItems":
        return value in FEWEST_ITEMS
    return name in KEPT


def _inner(name: str, value: Any) -> Any:
    if name in NAMED and isinstance(value, Mapping):
        return {key: narrowed(one) for key, one in value.items()}
    if name in LISTED:
        return _each(value)
    return narrowed(value) if name == "items" else value


def _each(value: Any) -> Any:
    return [narrowed(one) for one in value] if isinstance(value, list) else value


def _lost(narrow: Mapping[str, Any]) -> bool:
    """Whether a part within has no enforceable form."""
    inner: list[Any] = [narrow["items"]] if "items" in narrow else []
    for name in NAMED:
        inner += narrow[name].values() if isinstance(narrow.get(name), Mapping) else ()
    for name in LISTED:
        inner += narrow[name] if isinstance(narrow.get(name), list) else ()
    return any(one is None for one in inner)
