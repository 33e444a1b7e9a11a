"""Chat: a quote of the question and some sentences, or JSON, or a tool call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from providers.adapters.chunks import ChunkMaker
from providers.adapters.deterministic.instances import instance
from providers.adapters.deterministic.phrases import sentences
from providers.adapters.deterministic.rehearsal import created
from providers.requests import Answer, ChatRequest, Chunk
from providers.usage import BYTES_PER_TOKEN, Usage, to_openai, tokens_of

IMAGE_TOKENS = 256
QUOTED_CHARACTERS = 60
PIECE_CHARACTERS = 20


def answer(request: ChatRequest, digest: bytes) -> Answer:
    """The whole answer, within the output cap."""
    choices = int(request.body.get("n") or 1)
    message, finish, output = _message(request, digest)
    usage = Usage(uncached_input=_input_tokens(request.body["messages"]), output=output * choices)
    body = {
        "id": f"chatcmpl-{digest.hex()[:24]}",
        "object": "chat.completion",
        "created": created(digest),
        "model": request.model.name,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index in range(choices)
        ],
        "usage": to_openai(usage),
    }
    return Answer(body, usage)


def pieces(body: Mapping[str, Any]) -> Iterator[Chunk]:
    """The answer as it is streamed: a few words at a time."""
    make = ChunkMaker(body["id"], body["created"], body["model"])
    for choice in body["choices"]:
        index, message = choice["index"], choice["message"]
        yield make.delta({"role": "assistant", "content": ""}, index=index)
        for text in _cut_up(message["content"] or ""):
            yield make.delta({"content": text}, index=index)
        for number, call in enumerate(message.get("tool_calls") or ()):
            function = {**call["function"], "arguments": ""}
            begun = {"index": number, **call, "function": function}
            yield make.delta({"tool_calls": [begun]}, index=index)
            for text in _cut_up(call["function"]["arguments"]):
                more = {"index": number, "function": {"arguments": text}}
                yield make.delta({"tool_calls": [more]}, index=index)
        yield make.finish(choice["finish_reason"], index=index)
    yield make.usage(body["usage"])


def _cut_up(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]


def _message(request: ChatRequest, digest: bytes) -> tuple[dict[str, Any], str, int]:
    """What is said, why it ends, and how many tokens it takes."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    function = _function_to_call(request.body)
    if function is None:
        text, whole = _cut(_text(request.body, digest), request.output_cap)
        message["content"] = text
        return message, "stop" if whole else "length", tokens_of(len(text.encode()))
    arguments = orjson.dumps(instance(function.get("parameters") or {"type": "object"})).decode()
    arguments, whole = _cut(arguments, request.output_cap)
    called = {"name": function["name"], "arguments": arguments}
    call_id = f"call_{digest.hex()[:24]}"
    message["tool_calls"] = [{"id": call_id, "type": "function", "function": called}]
    return message, "tool_calls" if whole else "length", tokens_of(len(arguments.encode()))


def _function_to_call(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The tool that must be called, or else one that the last message, a user's, speaks of."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    tools = tools if isinstance(tools, list) else []
    given = [tool.get("function") for tool in tools if isinstance(tool, Mapping)]
    functions = [one for one in given if isinstance(one, Mapping) and _is_name(one.get("name"))]
    if not functions or choice == "none":
        return None
    if choice == "required":
        return functions[0]
    if isinstance(choice, Mapping):
        named = choice.get("function")
        name = named.get("name") if isinstance(named, Mapping) else None
        return next((one for one in functions if one["name"] == name), functions[0])
    last = body["messages"][-1]
    said = _said(last) if last.get("role") == "user" else ""
    return next((one for one in functions if one["name"] in said), None)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _input_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """An image counts the same however long its address or its data."""
    parts = [part for message in messages for part in _parts(message)]
    images = [part for part in parts if _is_image(part)]
    whole = len(orjson.dumps(messages))
    return tokens_of(whole - sum(len(orjson.dumps(image)) for image in images)) + (
        IMAGE_TOKENS * len(images)
    )


def _parts(message: Mapping[str, Any]) -> Sequence[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else ()


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"


def _text(body: Mapping[str, Any], digest: bytes) -> str:
    text = " ".join([f"You asked: “{_question(body)}”", *sentences(digest)])
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        return orjson.dumps({"answer": text}).decode()
    if kind == "json_schema" and isinstance(wanted, Mapping):
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return orjson.dumps(instance(schema or {"type": "object"})).decode()
    return text


def _question(body: Mapping[str, Any]) -> str:
    """The beginning of the last message's text."""
    words = " ".join(_said(body["messages"][-1]).split())
    return words if len(words) <= QUOTED_CHARACTERS else words[: QUOTED_CHARACTERS - 1] + "…"


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content)


def _cut(text: str, output_cap: int) -> tuple[str, bool]:
    """`text` within the cap, and whether all of it fitted."""
    content = text.encode()
    limit = output_cap * BYTES_PER_TOKEN
    if len(content) <= limit:
        return text, True
    return content[:limit].decode(errors="ignore"), False
