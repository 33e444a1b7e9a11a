"""What an answer is to be: asked for in a host's own terms or in words, and checked when it comes.

What is accepted as a schema, and how long a check may take, is bounded: see `output_schemas`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any, NoReturn

from scheduling import output_schemas
from scheduling.output_schemas import TooMuch, schema_faults
from scheduling.storable_text import storable_text

__all__ = ["OutputFault", "check", "messages", "response_format", "schema_faults"]

# As it is stored; the models are among those who ask what can be said against a schema.
JSON = "json"
LONGEST_JSON = 1_000_000
LONGEST_NUMBER = 100
MOST_FAULTS = 3
LONGEST_FAULT = 200
FENCE = "```"
IN_JSON = "Answer in JSON and nothing else: no introduction, no code fence."
BY_SCHEMA = "The JSON has to fit this JSON schema:"


class OutputFault(Exception):
    """Why an answer is not what was asked for, in words for a person."""


def check(text: str, *, output_format: str, schema: Any) -> str:
    """The answer as it is kept: text as it came, JSON in one line. Raises `OutputFault`.

    JSON may come in a Markdown code fence. What no database stores, the character NUL and halves
    of characters, is replaced in text and escaped in JSON.
    """
    if output_format != JSON:
        return storable_text(text)
    try:
        value = _read(text)
        if schema is not None:
            _hold_to(value, schema)
        return _written(value)
    except RecursionError:
        raise OutputFault("The answer is nested too deeply.") from None


def response_format(output_format: str, schema: Any) -> dict[str, Any] | None:
    """What a request in OpenAI's format says of the answer; None for plain text.

    Only a model that can be held to JSON may be sent it: others are asked in words alone.
    """
    if output_format != JSON:
        return None
    if schema is None:
        return {"type": "json_object"}
    # Not “strict”: that refuses most schemas that were not written for it.
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def messages(
    system_prompt: str, prompt: str, *, output_format: str, schema: Any, held: bool
) -> list[dict[str, str]]:
    """What the model is told, in OpenAI's format.

    `held` says that the request has the `response_format`; without it the schema goes in words.
    That JSON is wanted is said in any case: OpenAI refuses `json_object` without the word.
    """
    wishes = [system_prompt] if system_prompt else []
    if output_format == JSON:
        wishes.append(IN_JSON)
        if schema is not None and not held:
            wishes.append(f"{BY_SCHEMA}\n{_written(schema)}")
    spoken = [("system", "\n\n".join(wishes)), ("user", prompt)]
    return [{"role": role, "content": content} for role, content in spoken if content]


def _read(text: str) -> Any:
    if len(text) > LONGEST_JSON:
        raise OutputFault(f"The answer is longer than {LONGEST_JSON:,} characters.")
    try:
        return _parsed(text.strip())
    except json.JSONDecodeError as error:
        inner = _within_fence(text.strip())
        if inner is None:
            raise OutputFault(_no_json(error)) from None
    try:
        return _parsed(inner)
    except json.JSONDecodeError as error:
        raise OutputFault(_no_json(error)) from None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_int=_whole, parse_float=_fraction, parse_constant=_no_number)


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise OutputFault("A number in the answer is too large.")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise OutputFault("A number in the answer is too large.")
    return value


def _no_number(word: str) -> NoReturn:
    raise OutputFault(f"The answer is no JSON: {word} is no number.")


def _within_fence(text: str) -> str | None:
    """What stands in the only code fence; None if there is none, or more than one."""
    before, fence, rest = text.partition(FENCE)
    inner, closing, after = rest.rpartition(FENCE)
    if not fence or not closing or FENCE in before or FENCE in after:
        return None
    language, newline, content = inner.partition("\n")
    return content.strip() if newline and language.strip().isalnum() else inner.strip()


def _no_json(error: json.JSONDecodeError) -> str:
    where = f"line {error.lineno}, column {error.colno}"
    return f"The answer is no JSON ({error.msg}, {where}). It may have been cut off at its end."


def _hold_to(value: Any, schema: Any) -> None:
    try:
        found = list(islice(_said(value, schema), MOST_FAULTS))
    except TooMuch as fault:
        raise OutputFault(str(fault)) from None
    if found:
        raise OutputFault(f"The answer does not fit the schema: {'; '.join(found)}.")


def _said(value: Any, schema: Any) -> Iterator[str]:
    for where, message in output_schemas.misfits(value, schema):
        words = message if len(message) <= LONGEST_FAULT else f"{message[:LONGEST_FAULT]}…"
        yield storable_text(f"at {where}, {words}")


def _written(value: Any) -> str:
    """In one line; half characters, which JSON can name and no text can have, stay escaped."""
    written = json.dumps(value, ensure_ascii=False)
    return written if storable_text(written) == written else json.dumps(value)
