"""The smallest thing that fits a JSON schema, always the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 32
MOST_VALUES = 5_000
SMALLEST_STEP = 1e-9
TEXTS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any) -> Any:
    """A value that fits `schema`, with the required properties alone. Patterns are not followed.

    A schema that asks for more than `MOST_VALUES` values, or never comes to an end, is given up on:
    the rest is null.
    """
    return _Maker(schema).make(schema, 0)


@dataclass(slots=True)
class _Maker:
    root: Any
    made: int = 0

    def make(self, schema: Any, depth: int) -> Any:
        self.made += 1
        plain = self._resolved(schema)
        if not isinstance(plain, Mapping) or depth > DEEPEST or self.made > MOST_VALUES:
            return None
        if "const" in plain:
            return plain["const"]
        if _list(plain, "enum"):
            return plain["enum"][0]
        options = _list(plain, "anyOf") or _list(plain, "oneOf")
        if options:
            return self.make(_simplest(options), depth + 1)
        return self._of_type(_type(plain), plain, depth)

    def _of_type(self, kind: Any, schema: Mapping[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return False if kind == "boolean" else None

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        known = _mapping(schema, "properties")
        names = [name for name in _list(schema, "required") if isinstance(name, str)]
        fewest = schema.get("minProperties")
        if isinstance(fewest, int) and len(names) < fewest:
            names += [name for name in known if name not in names][: fewest - len(names)]
        # A required property that is not described may be anything.
        return {name: self.make(known.get(name, {}), depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fewest = schema.get("minItems")
        count = min(fewest, MOST_VALUES - self.made) if isinstance(fewest, int) else 0
        first = _list(schema, "prefixItems")
        kinds = [*first, *[schema.get("items")] * (count - len(first))][: max(0, count)]
        return [self.make(kind, depth + 1) for kind in kinds if self.made <= MOST_VALUES]

    def _resolved(self, schema: Any) -> Any:
        """The schema that is referred to, and everything that `allOf` asks for at once."""
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping):
                return None
            if "$ref" in schema:
                schema = self._referred(schema["$ref"])
            elif _list(schema, "allOf"):
                schema = self._together(schema)
            else:
                return schema
        return None

    def _together(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        whole = {name: value for name, value in schema.items() if name != "allOf"}
        for given in schema["allOf"]:
            refers = isinstance(given, Mapping) and "$ref" in given
            part = self._referred(given["$ref"]) if refers else given
            if not isinstance(part, Mapping):
                continue
            joined = {
                "properties": {**_mapping(whole, "properties"), **_mapping(part, "properties")},
                "required": [*_list(whole, "required"), *_list(part, "required")],
            }
            whole = {**whole, **part, **{name: value for name, value in joined.items() if value}}
        return whole

    def _referred(self, pointer: Any) -> Any:
        """What a JSON pointer within the schema points at; None for any other."""
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            return None
        found = self.root
        for escaped in pointer.removeprefix("#").split("/")[1:]:
            name = escaped.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _type(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        return kind[0] if kind else None
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else None
    return kind


def _string(schema: Mapping[str, Any]) -> str:
    text = TEXTS.get(str(schema.get("format")), "text")
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if isinstance(shortest, int):
        text = text.ljust(min(shortest, MOST_VALUES), ".")
    return text[:longest] if isinstance(longest, int) and longest >= 0 else text


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """Zero if it fits, else the nearest to the lower bound, or to the upper, that does."""
    step = _bound(schema, "multipleOf") or 1
    step = step if step > SMALLEST_STEP else 1
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    steps = 0
    if low is not None:
        steps = max(steps, math.ceil(low / step))
    if above is not None:
        steps = max(steps, math.floor(above / step) + 1)
    if high is not None:
        steps = min(steps, math.floor(high / step))
    if below is not None:
        steps = min(steps, math.ceil(below / step) - 1)
    value = steps * step
    return int(value) if whole else value


def _bound(schema: Mapping[str, Any], name: str) -> int | float | None:
    value = schema.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if abs(value) < 2**53 else None


def _simplest(options: list[Any]) -> Any:
    """The first that refers to no other, so that what contains itself comes to an end."""
    plain = (one for one in options if isinstance(one, Mapping) and "$ref" not in one)
    return next(plain, options[0])


def _mapping(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = schema.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(schema: Mapping[str, Any], name: str) -> list[Any]:
    value = schema.get(name)
    return value if isinstance(value, list) else []
