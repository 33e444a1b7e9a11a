"""What the upstream answers, worked out from the request alone and whatever the protocol.

Pure, so that a test can work out the same usage, and the cost that must follow from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.support.faults import Behaviour, Fault

__all__ = [
    "EVERY_TOOL",
    "USE_THE_TOOL",
    "Asked",
    "Behaviour",
    "Fault",
    "Finish",
    "Reply",
    "ToolCall",
    "ToolOffered",
    "Usage",
    "answer_text",
    "asked_of",
    "example_of",
    "output_cap",
    "reply_to",
    "text_pieces",
    "usage_of",
    "vector_of",
]

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 100
LONGEST_ANSWER = 60
BEYOND_THE_CAP = 500
DIMENSIONS = 8
# What a prompt says to have a tool called although the request leaves it open.
USE_THE_TOOL = "Use the tool."
EVERY_TOOL = "Use every tool."
EXAMPLES = {"integer": 7, "number": 1.5, "boolean": True, "null": None}
THOUGHT = "Let me think about that first."


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, as the upstream counts them.

    `prompt` includes what was read from a cache or written to one, `completion` the reasoning.
    """

    prompt: int
    completion: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ToolOffered:
    """A tool the model may call, and what its arguments look like."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A chat request, whatever protocol it came in. `text` is everything its messages say.

    `prompt` is what the last message says, `tools` are those that must be called now, `cap` is the
    most output tokens. With a `schema` the answer is JSON that satisfies it.
    """

    model: str
    text: str
    prompt: str
    messages: int
    cap: int | None = None
    images: int = 0
    tools: tuple[ToolOffered, ...] = ()
    schema: Mapping[str, Any] | None = None
    stream: bool = False


class Finish(StrEnum):
    """Why an answer ends."""

    STOP = "stop"
    LENGTH = "length"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model calls; `arguments` are JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    reasoning: str
    usage: Usage
    finish: Finish


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What a request in OpenAI's format asks."""
    messages = body.get("messages", ())
    contents = [message.get("content") for message in messages]
    return Asked(
        model=str(body.get("model", "")),
        text="\n".join(part for content in contents for part in texts(content)),
        prompt="\n".join(texts(contents[-1])) if contents else "",
        messages=len(messages),
        cap=output_cap(body),
        images=sum(_is_image(part) for content in contents for part in _parts(content)),
        tools=_tools_to_call(body),
        schema=_schema(body.get("response_format")),
        stream=bool(body.get("stream")),
    )


def output_cap(body: Mapping[str, Any]) -> int | None:
    """The most output tokens the request allows."""
    caps = [body.get("max_completion_tokens"), body.get("max_tokens")]
    given = [cap for cap in caps if isinstance(cap, int)]
    return min(given) if given else None


def usage_of(body: Mapping[str, Any], behaviour: Behaviour) -> Usage:
    """The tokens of a request in OpenAI's format: the same each time, never above its cap."""
    return count(asked_of(body), behaviour)


def answer_text(body: Mapping[str, Any], usage: Usage) -> str:
    """What the model says to a request in OpenAI's format."""
    return say(asked_of(body), usage)


def reply_to(asked: Asked, behaviour: Behaviour, *, number: int) -> Reply:
    """What the model says to the upstream's `number`th request."""
    usage = count(asked, behaviour)
    calls = tuple(
        ToolCall(f"call_{number}_{index}", tool.name, json.dumps(example_of(tool.schema)))
        for index, tool in enumerate(asked.tools)
    )
    finish = Finish.LENGTH if usage.completion == asked.cap else Finish.STOP
    return Reply(
        text="" if calls else say(asked, usage),
        tool_calls=calls,
        reasoning=THOUGHT if behaviour.reasoning_tokens else "",
        usage=usage,
        finish=Finish.TOOL if calls else finish,
    )


def count(asked: Asked, behaviour: Behaviour) -> Usage:
    """The tokens of a request: the same for the same request, never above its cap."""
    cached = behaviour.cache_read + behaviour.cache_write_5m + behaviour.cache_write_1h
    prompt = behaviour.prompt_tokens
    if prompt is None:
        prompt = tokens_in(asked.text) + TOKENS_PER_MESSAGE * asked.messages
        prompt += TOKENS_PER_IMAGE * asked.images + cached
    completion = behaviour.completion_tokens
    if completion is None:
        digest = hashlib.sha256(asked.text.encode()).digest()
        completion = 1 + int.from_bytes(digest[:4], "big") % LONGEST_ANSWER
        completion += behaviour.reasoning_tokens
    if behaviour.fault is Fault.BEYOND_CAP:
        completion = (asked.cap or completion) + BEYOND_THE_CAP
    elif asked.cap is not None:
        completion = min(asked.cap, completion)
    return Usage(
        prompt,
        completion,
        cache_read=behaviour.cache_read,
        cache_write_5m=behaviour.cache_write_5m,
        cache_write_1h=behaviour.cache_write_1h,
        reasoning=min(behaviour.reasoning_tokens, completion),
    )


def tokens_in(text: str) -> int:
    """How many tokens a text is."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def say(asked: Asked, usage: Usage) -> str:
    """The answer's text: it names the prompt's digest, so that answers can be told apart."""
    if asked.schema is not None:
        return json.dumps(example_of(asked.schema))
    digest = hashlib.sha256(asked.text.encode()).hexdigest()[:12]
    text = f"upstream answer {digest} in {usage.completion} tokens"
    return f"{text}, having seen {asked.images} images" if asked.images else text


def text_pieces(text: str) -> list[str]:
    """A text in the pieces in which it is streamed: word by word."""
    return re.findall(r"\S+\s*", text)


def example_of(schema: Mapping[str, Any]) -> Any:
    """A value that satisfies a JSON schema of the plain kind."""
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: example_of(inner) for name, inner in properties.items()}
    if schema.get("type") == "array":
        return [example_of(schema.get("items", {}))]
    return EXAMPLES.get(str(schema.get("type")), "upstream")


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """The embedding of a text: of unit length, and another for another text."""
    raw = hashlib.shake_256(text.encode()).digest(2 * (dimensions or DIMENSIONS))
    numbers = [value - 2**15 for (value,) in struct.iter_unpack("<H", raw)]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]


def packed(vector: Sequence[float]) -> str:
    """A vector as clients ask for it with `encoding_format: base64`."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def texts(content: Any) -> list[str]:
    """The texts in a message's content, in either protocol's form."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for part in _parts(content):
        if part.get("type") == "tool_result":
            found += texts(part.get("content"))
        elif part.get("type") == "text":
            found.append(str(part.get("text", "")))
    return found


def chosen_tools(
    tools: Sequence[ToolOffered], prompt: str, *, must: bool, named: str | None
) -> tuple[ToolOffered, ...]:
    """The tools to call: the one named, the first where one must be, or what the prompt says."""
    if EVERY_TOOL in prompt and named is None:
        return tuple(tools)
    if named is not None:
        return tuple(tool for tool in tools if tool.name == named)
    return tuple(tools[:1]) if must or USE_THE_TOOL in prompt else ()


def _tools_to_call(body: Mapping[str, Any]) -> tuple[ToolOffered, ...]:
    functions = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    tools = [ToolOffered(one["name"], one.get("parameters") or {}) for one in functions]
    choice = body.get("tool_choice")
    last = body["messages"][-1] if body.get("messages") else {}
    if choice == "none" or (last.get("role") == "tool" and not isinstance(choice, Mapping)):
        return ()
    return chosen_tools(
        tools,
        "\n".join(texts(last.get("content"))),
        must=choice == "required",
        named=choice["function"]["name"] if isinstance(choice, Mapping) else None,
    )


def _schema(wanted: Any) -> Mapping[str, Any] | None:
    if not isinstance(wanted, Mapping):
        return None
    if wanted.get("type") == "json_schema":
        schema: Mapping[str, Any] = wanted["json_schema"].get("schema", {})
        return schema
    if wanted.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return None


def _parts(content: Any) -> list[Mapping[str, Any]]:
    return [part for part in content if isinstance(part, Mapping)] if type(content) is list else []


def _is_image(part: Mapping[str, Any]) -> bool:
    return part.get("type") in {"image_url", "image"}
