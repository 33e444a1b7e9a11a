"""Turns what pydantic and Django say of bad input into one list of faults, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from palyra_site.api.problems import Fault

# Every operation's body is the parameter `body`, so a path into it begins with the source and that.
BODY_PREFIX = ("body", "body")

_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no field of this name.",
    "string_type": "Give a string.",
    "string_too_short": "This must not be empty.",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "int_from_float": "Give a whole number.",
    "float_type": "Give a number.",
    "float_parsing": "Give a number.",
    "finite_number": "Give a finite number.",
    "bool_type": "Give true or false.",
    "bool_parsing": "Give true or false.",
    "dict_type": "Give a JSON object.",
    "model_type": "Give a JSON object.",
    "model_attributes_type": "Give a JSON object.",
    "list_type": "Give a list.",
    "uuid_type": "Give a UUID.",
    "uuid_parsing": "Give a UUID.",
    "greater_than_equal": "Give {ge} or more.",
    "less_than_equal": "Give {le} or less.",
    "enum": "Give one of {expected}.",
    "literal_error": "Give one of {expected}.",
}


def of_request(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """The faults that parsing a request against its schema found."""
    return [Fault(_path(error.get("loc", ())), _sentence(error)) for error in errors]


def of_validation(error: ValidationError) -> list[Fault]:
    """The faults that a model or a service function found."""
    if not hasattr(error, "error_dict"):
        return [Fault(None, message) for message in error.messages]
    return [
        Fault(None if field == NON_FIELD_ERRORS else field, message)
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def _path(location: Iterable[Any]) -> str | None:
    parts = tuple(location)
    rest = parts[2:] if parts[:2] == BODY_PREFIX else parts[1:]
    return ".".join(str(part) for part in rest) or None


def _sentence(error: Mapping[str, Any]) -> str:
    kind = str(error.get("type", ""))
    if kind == "missing" and _path(error.get("loc", ())) is None:
        return "This request needs a JSON object as its body."
    known = _SENTENCES.get(kind)
    if known is not None:
        return known.format_map(error.get("ctx") or {})
    message = str(error.get("msg", "This value cannot be used.")).removeprefix("Value error, ")
    return message if message.endswith((".", "!", "?")) else f"{message}."
