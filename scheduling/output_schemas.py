"""JSON schemas of answers: which are accepted, and how an answer is checked against one.

Draft 2020-12, as the jsonschema library has it. A schema is a team's and an answer a model's, so
neither may cost more than a moment: what can take long (regular expressions, what depends on what
was evaluated before, references to elsewhere) is refused, and the steps of a check are counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

LONGEST_SCHEMA = 20_000
DEEPEST_SCHEMA = 24
MOST_PARTS = 300
# The library compares each of a list of names with each, where it is faulty.
MOST_NAMES = 500
MOST_STEPS = 20_000
# What a schema may take for a value with nothing in it.
MOST_STEPS_OF_A_PROBE = 4_000
# A step that finds a fault quotes the value, so that text is counted too.
CHARACTERS_PER_STEP = 100
NAMES_PER_STEP = 20
REMEMBERED = 64
MOST_FAULTS = 5
LONGEST_FAULT = 200
# Keywords that say something of a value, and what comes with them.
CHECKED = (
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "type",
    "uniqueItems",
)
BESIDE = {
    "$comment",
    "$defs",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "else",
    "examples",
    "maxContains",
    "minContains",
    "readOnly",
    "then",
    "title",
    "writeOnly",
}
KEYWORDS = {*CHECKED, *BESIDE}
# Keywords whose value is a schema, a list of schemas, an object of schemas.
ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
OBJECTS = ("$defs", "definitions", "properties")
WHY_NOT = {
    "pattern": "a regular expression can take for ever over an answer nobody has seen. Describe "
    "it in “description”, or list the values in “enum”",
    "patternProperties": "a regular expression can take for ever over an answer nobody has seen",
    "unevaluatedProperties": "write “additionalProperties”",
    "unevaluatedItems": "write “items”",
    "additionalItems": "write “prefixItems” and “items”, as the draft 2020-12 does",
    "dependencies": "write “dependentRequired”, as the draft 2020-12 does",
    "$id": "a schema stands by itself here",
}
# Values that between them go into every part of a schema that leads back to itself at once.
PROBES: tuple[Any, ...] = (None, True, 0, "", [], {})


class TooMuch(Exception):
    """A check that takes too long, or never comes to an end."""


_steps_left: ContextVar[int] = ContextVar("steps_left")


def schema_faults(schema: Any) -> list[str]:
    """What is wrong with a schema for answers, a sentence each. It is remembered for a while."""
    if not isinstance(schema, Mapping):
        return ["A schema is a JSON object."]
    try:
        written = json.dumps(schema, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return ["The schema has to be JSON, nested less deeply, and its numbers numbers."]
    if len(written) > LONGEST_SCHEMA:
        return [f"The schema has at most {LONGEST_SCHEMA:,} characters."]
    return list(_written_faults(written))


@lru_cache(maxsize=REMEMBERED)
def _written_faults(written: str) -> tuple[str, ...]:
    schema = json.loads(written)
    parts = list(_parts(schema))
    if len(parts) > MOST_PARTS or any(depth > DEEPEST_SCHEMA for _, depth in parts):
        return (f"The schema has at most {MOST_PARTS} parts, at most {DEEPEST_SCHEMA} deep.",)
    found = [fault for part, _ in parts for fault in _part_faults(part, schema)]
    return tuple(dict.fromkeys(found or _draft_faults(schema) or _endless(schema)))


def misfits(
    value: Any, schema: Mapping[str, Any], steps: int = MOST_STEPS
) -> Iterator[tuple[str, str]]:
    """Where a value does not fit a schema, and why. Raises `TooMuch`."""
    # With “$schema” the library would go on with a checker of its own, which counts nothing.
    bare = {name: part for name, part in schema.items() if name != "$schema"}
    validator = _VALIDATOR(bare, registry=Registry(), format_checker=FORMATS)
    token = _steps_left.set(steps)
    try:
        for error in validator.iter_errors(value):
            yield error.json_path, error.message
    except RecursionError:
        raise TooMuch("The schema or the answer is nested too deeply.") from None
    except (ArithmeticError, Unresolvable) as error:
        raise TooMuch(f"The answer cannot be checked against the schema: {error}.") from None
    finally:
        _steps_left.reset(token)


def _parts(schema: Any) -> Iterator[tuple[Any, int]]:
    """Every schema within a schema, and how deep it is; one too many at most."""
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    for _ in range(MOST_PARTS + 1):
        if not waiting:
            return
        part, depth = waiting.pop()
        yield part, depth
        if isinstance(part, Mapping):
            waiting += [(inner, depth + 1) for inner in _inner(part)]


def _inner(part: Mapping[str, Any]) -> list[Any]:
    inner = [part[name] for name in ONE if name in part]
    for name in LISTS:
        inner += part[name] if isinstance(part.get(name), list) else []
    for name in OBJECTS:
        inner += part[name].values() if isinstance(part.get(name), Mapping) else []
    return inner


def _part_faults(part: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(part, bool):
        return
    if not isinstance(part, Mapping):
        yield "A part of the schema is neither an object nor true or false."
        return
    for name in part.keys() - KEYWORDS:
        why = WHY_NOT.get(name, "it is not among the keywords that an answer can be checked by")
        yield f"“{name[:64]}” cannot be used: {why}."
    if any(len(names) > MOST_NAMES for names in _name_lists(part)):
        yield f"A list of names in the schema has at most {MOST_NAMES}."
    if "$schema" in part and part is not schema:
        yield "“$schema” can only stand at the schema's beginning."
    if "$ref" in part and not _is_within(part["$ref"], schema):
        yield (
            "“$ref” can only lead to a part of the schema itself, such as “#/$defs/item”; nothing "
            "is fetched."
        )


def _name_lists(part: Mapping[str, Any]) -> Iterator[list[Any]]:
    dependent = part.get("dependentRequired")
    listed = list(dependent.values()) if isinstance(dependent, Mapping) else []
    for names in (part.get("required"), part.get("type"), *listed):
        if isinstance(names, list):
            yield names


def _is_within(pointer: Any, schema: Mapping[str, Any]) -> bool:
    if pointer == "#":
        return True
    names = pointer.split("/") if isinstance(pointer, str) else []
    if len(names) != len(("#", "$defs", "name")) or names[0] != "#":
        return False
    named = schema.get(names[1]) if names[1] in ("$defs", "definitions") else None
    return isinstance(named, Mapping) and names[2] in named and "%" not in pointer


def _draft_faults(schema: Mapping[str, Any]) -> list[str]:
    errors = Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
    return [
        f"The schema is wrong at {error.json_path}: {error.message[:LONGEST_FAULT]}."
        for error in islice(errors, MOST_FAULTS)
    ]


def _endless(schema: Mapping[str, Any]) -> list[str]:
    try:
        for probe in PROBES:
            for _ in misfits(probe, schema, MOST_STEPS_OF_A_PROBE):
                pass
    except TooMuch:
        return ["The schema leads back to itself without end, or repeats itself too often."]
    return []


Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _counted(name: str) -> Keyword:
    check = OWN.get(name) or Draft202012Validator.VALIDATORS[name]
    walked = WALKED.get(name)

    def counted(
        validator: Any, wanted: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        _pay(1 + (walked(wanted, instance) if walked else 0))
        for error in check(validator, wanted, instance, schema) or ():
            _pay(1 + len(error.message) // CHARACTERS_PER_STEP)
            yield error

    return counted


def _size(value: Any) -> int:
    """How many a list or an object holds; nothing else holds any."""
    return len(value) if isinstance(value, list | dict) else 0


def _pay(steps: int) -> None:
    left = _steps_left.get() - steps
    _steps_left.set(left)
    if left < 0:
        raise TooMuch("Checking the answer against the schema takes too long.")


def _one_of(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    _pay(len(wanted) + len(json.dumps(wanted)) // CHARACTERS_PER_STEP)
    yield from Draft202012Validator.VALIDATORS["enum"](validator, wanted, instance, schema) or ()


def _constant(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    _pay(len(json.dumps(wanted)) // CHARACTERS_PER_STEP)
    yield from Draft202012Validator.VALIDATORS["const"](validator, wanted, instance, schema) or ()


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """The library compares each with each."""
    if not wanted or not isinstance(instance, list):
        return
    _pay(len(instance))
    keys = [_key(one) for one in instance]
    _pay(sum(map(len, keys)) // CHARACTERS_PER_STEP)
    if len(set(keys)) < len(keys):
        yield ValidationError("the list has the same item twice")


SORTED = json.JSONEncoder(sort_keys=True)


def _key(value: Any) -> str:
    """The same text for values that are equal by JSON schema, where 1.0 is 1."""
    return SORTED.encode(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


OWN: dict[str, Keyword] = {"enum": _one_of, "const": _constant, "uniqueItems": _unique}
# What a keyword goes through, however little there is to be said of each.
WALKED: dict[str, Callable[[Any, Any], int]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), lambda wanted, instance: len(wanted)),
    **dict.fromkeys(
        ("additionalProperties", "contains", "items", "propertyNames"),
        lambda wanted, instance: _size(instance),
    ),
    **dict.fromkeys(
        ("prefixItems", "properties"),
        lambda wanted, instance: min(len(wanted), _size(instance)),
    ),
    "required": lambda wanted, instance: len(wanted) // NAMES_PER_STEP,
    "dependentRequired": lambda wanted, instance: sum(map(len, wanted.values())) // NAMES_PER_STEP,
    "format": lambda wanted, instance: (
        len(instance) // CHARACTERS_PER_STEP if isinstance(instance, str) else 0
    ),
}
_VALIDATOR: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {name: _counted(name) for name in CHECKED},
)
# Those that say what they mean without a library of their own; others only describe.
FORMATS = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid"))


@FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
