"""Anthropic's protocol as its own package knows it, to hold the adapter against."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import TypeAdapter

from providers.sse import ServerSentEvent

WHOLE = TypeAdapter[Any](MessageCreateParamsNonStreaming)
STREAMED = TypeAdapter[Any](MessageCreateParamsStreaming)
# Older models take these; the package has forgotten them.
FORGOTTEN = {"temperature", "top_p", "top_k"}


def assert_understood(body: Mapping[str, Any]) -> None:
    """Every field of `body` is one that the package knows, and of its type."""
    known = {name: value for name, value in body.items() if name not in FORGOTTEN}
    adapter = STREAMED if known.get("stream") else WHOLE
    # What is not known is left out by the validation, so it must give back the same.
    assert _read(adapter.validate_python(known)) == known


def _read(value: Any) -> Any:
    """With lists for the iterators that validate only as they are read."""
    if isinstance(value, Mapping):
        return {name: _read(inner) for name, inner in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_read(inner) for inner in value]


# --- What a conversation means, read from either protocol ---------------------------------------

Saying = tuple[Any, ...]


def meaning_of_openai(messages: Iterable[Mapping[str, Any]]) -> tuple[list[Saying], list[Saying]]:
    """What the system says, and what is said after it: by whom, what kind of thing, which."""
    system: list[Saying] = []
    said: list[Saying] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            system += [("text", text) for text in _texts(message["content"])]
            continue
        if role == "tool":
            result = "".join(_texts(message["content"]))
            said.append(("user", "result", message["tool_call_id"], result))
            continue
        if role == "assistant":
            said += [("assistant", *_thought(one)) for one in message.get("thinking_blocks", ())]
        said += [(role, *one) for one in _openai_parts(message.get("content"))]
        for call in message.get("tool_calls", ()):
            arguments = json.loads(call["function"]["arguments"] or "{}")
            said.append(("assistant", "call", call["id"], call["function"]["name"], arguments))
    return system, said


def meaning_of_anthropic(body: Mapping[str, Any]) -> tuple[list[Saying], list[Saying]]:
    """The same of the other protocol. The system's text is one: paragraphs apart."""
    system = body.get("system", "")
    texts = [system] if isinstance(system, str) else [block["text"] for block in system]
    said = [
        (message["role"], *_anthropic_block(block))
        for message in body["messages"]
        for block in message["content"]
    ]
    return [("text", text) for text in texts if text], said


def _openai_parts(content: Any) -> Iterator[Saying]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content or ():
        if part["type"] == "image_url":
            yield ("image", part["image_url"]["url"])
        elif part["text"].strip():
            yield ("text", part["text"])


def _texts(content: Any) -> list[str]:
    return [one[1] for one in _openai_parts(content)]


def _thought(block: Mapping[str, Any]) -> Saying:
    if block["type"] == "redacted_thinking":
        return ("hidden thought", block["data"])
    return ("thought", block["thinking"], block["signature"])


def _anthropic_block(block: Mapping[str, Any]) -> Saying:
    kind = block["type"]
    if kind == "text":
        return ("text", block["text"])
    if kind == "image":
        return ("image", _image(block["source"]))
    if kind == "tool_use":
        return ("call", block["id"], block["name"], block["input"])
    if kind == "tool_result":
        content = block.get("content", "")
        text = content if isinstance(content, str) else "".join(one["text"] for one in content)
        return ("result", block["tool_use_id"], text)
    return _thought(block)


def _image(source: Mapping[str, Any]) -> str:
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source['media_type']};base64,{source['data']}"


# --- Answers, whole and in pieces -----------------------------------------------------------------


def message(*content: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """An answer with that content."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-20260101",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **fields,
    }


def events_of(whole: Mapping[str, Any], cuts: int = 3) -> list[dict[str, Any]]:
    """The events by which `whole` is streamed, every text cut into pieces of `cuts` characters."""
    usage = whole["usage"]
    begun = {**usage, "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": begun}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        begun_block, deltas = _pieces(block, cuts)
        events.append({"type": "content_block_start", "index": index, "content_block": begun_block})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}
    if "stop_details" in whole:
        ending["stop_details"] = whole["stop_details"]
    final = {"output_tokens": usage["output_tokens"]}
    events.append({"type": "message_delta", "delta": ending, "usage": final})
    events.append({"type": "message_stop"})
    return events


def _pieces(block: Mapping[str, Any], cuts: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    kind = block["type"]
    if kind == "text":
        deltas = [{"type": "text_delta", "text": one} for one in _cut(block["text"], cuts)]
        return {"type": "text", "text": ""}, deltas
    if kind == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": one} for one in _cut(block["thinking"], cuts)
        ]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if kind == "tool_use":
        text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        deltas = [
            {"type": "input_json_delta", "partial_json": one} for one in ["", *_cut(text, cuts)]
        ]
        return {**block, "input": {}}, deltas
    return dict(block), []


def _cut(text: str, cuts: int) -> list[str]:
    return [text[start : start + cuts] for start in range(0, len(text), cuts)]


def sent_event(event: Mapping[str, Any]) -> ServerSentEvent:
    """The event as it arrives."""
    return ServerSentEvent(str(event["type"]), json.dumps(event, ensure_ascii=False))
