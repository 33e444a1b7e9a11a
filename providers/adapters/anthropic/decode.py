"""An answer of Anthropic's as a chat completion in OpenAI's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from providers import failures, usage
from providers.adapters import malformed
from providers.failures import Failure
from providers.requests import Answer, ChatRequest, Outcome
from providers.transport import InboundAnswer

HTTP_OK = 200
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def decode_chat(inbound: InboundAnswer, request: ChatRequest, *, now: datetime) -> Outcome:
    """The answer under the name the client knows the model by, or why there is none."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    body = inbound.json
    content = body.get("content") if isinstance(body, dict) else None
    if not isinstance(content, list) or not all(is_block(block) for block in content):
        return _no_message(inbound.status)
    try:
        message = _message(content)
    except TypeError:  # Arguments nested beyond what JSON can be made of.
        return _no_message(inbound.status)
    reported = usage.from_anthropic(body.get("usage"))
    completion: dict[str, Any] = {
        "id": str(body.get("id") or ""),
        "object": "chat.completion",
        "created": int(now.timestamp()),
        "model": request.model.name,
        "choices": [{"index": 0, "message": message, "logprobs": None, **_ending(body, message)}],
    }
    if reported is not None:
        completion["usage"] = shown_usage(reported, body["usage"])
    return Answer(completion, reported)


def error_in(inbound: InboundAnswer, *, now: datetime) -> Failure | None:
    """The failure an answer stands for, if it is one; some hosts answer 200 with an error."""
    body = inbound.json
    if inbound.status == HTTP_OK and not is_error(body):
        return None
    return failures.from_http(inbound.status, body, inbound.headers, now=now)


def is_error(body: Any) -> bool:
    """Whether a body says that something failed."""
    return isinstance(body, dict) and (body.get("type") == "error" or bool(body.get("error")))


def shown_usage(reported: usage.Usage, raw: Any) -> dict[str, Any]:
    """The usage as clients are shown it."""
    return usage.to_openai(reported, reasoning=usage.anthropic_reasoning(raw))


def finish_reason(stop_reason: Any, *, calls: bool) -> str:
    """Why the answer ended, in OpenAI's words. An unknown reason is an ordinary end."""
    known = FINISHES.get(stop_reason) if isinstance(stop_reason, str) else None
    return known or ("tool_calls" if calls else "stop")


def refusal_of(details: Any) -> str | None:
    """What a refusal is explained with, if it is."""
    explanation = details.get("explanation") if isinstance(details, Mapping) else None
    return explanation if isinstance(explanation, str) else None


def is_block(block: Any) -> bool:
    """Whether a block has what its type says; blocks of other types are passed over."""
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    if kind == "text":
        return isinstance(block.get("text"), str)
    if kind == "thinking":
        return isinstance(block.get("thinking"), str)
    if kind == "tool_use":
        return isinstance(block.get("name"), str) and isinstance(block.get("input"), dict)
    return isinstance(kind, str)


def thought(block: Mapping[str, Any]) -> dict[str, Any]:
    """A thought in the form in which it may be sent back."""
    if block["type"] == "redacted_thinking":
        return {"type": "redacted_thinking", "data": block.get("data")}
    return {
        "type": "thinking",
        "thinking": block["thinking"],
        "signature": block.get("signature") or "",
    }


def call_id(block: Mapping[str, Any], index: int) -> str:
    """The id of a tool call; some compatible hosts give none."""
    return str(block.get("id") or f"call_{index}")


def _message(content: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    texts = [block["text"] for block in content if block["type"] == "text"]
    thoughts = [b for b in content if b["type"] in ("thinking", "redacted_thinking")]
    uses = [block for block in content if block["type"] == "tool_use"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    message["refusal"] = None
    if thoughts:
        spoken = "".join(b["thinking"] for b in thoughts if b["type"] == "thinking")
        message |= {"reasoning_content": spoken} if spoken else {}
        message["thinking_blocks"] = [thought(block) for block in thoughts]
    if uses:
        message["tool_calls"] = [_call(block, index) for index, block in enumerate(uses)]
    elif not texts:
        message["content"] = ""
    return message


def _call(block: Mapping[str, Any], index: int) -> dict[str, Any]:
    arguments = orjson.dumps(block["input"]).decode()
    return {
        "id": call_id(block, index),
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }


def _ending(body: Mapping[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    message["refusal"] = refusal_of(body.get("stop_details"))
    stop_reason = body.get("stop_reason")
    return {
        "finish_reason": finish_reason(stop_reason, calls="tool_calls" in message),
        "native_finish_reason": stop_reason,
    }


def _no_message(status: int) -> Failure:
    return malformed("The provider answered 200 with something that is not a message.", status)
