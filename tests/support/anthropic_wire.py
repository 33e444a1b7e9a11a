"""Anthropic's protocol from the provider's side: requests read, answers and streams in shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.support.completions import (
    Asked,
    Finish,
    Reply,
    ToolOffered,
    Usage,
    chosen_tools,
    text_pieces,
    texts,
)
from tests.support.faults import Behaviour, Fault
from tests.support.frames import Frame, event

MODELS = ("upstream-small", "upstream-large", "upstream-thinker", "upstream-old", "upstream-new")
# However many a client asks for, so that it must ask more than once.
MODELS_PER_PAGE = 2
VERSION = "2023-06-01"
# What its own client sends today.
VERSIONS = {VERSION, "2026-10-21"}
SIGNATURE = "c2lnbmVkIGJ5IHRoZSB1cHN0cmVhbQ=="
STOP_REASONS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.TOOL: "tool_use"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
FIELDS = {
    *("model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k", "stream"),
    *("stop_sequences", "metadata", "tools", "tool_choice", "thinking", "service_tier"),
    *("output_config", "container", "context_management", "mcp_servers", "cache_control"),
    *("inference_geo", "diagnostics", "speed"),
}
IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request asks; the system prompt counts as a message, as it does at OpenAI."""
    messages = body.get("messages", ())
    contents = [message.get("content") for message in messages]
    system = [texts(body["system"])] if body.get("system") else []
    said = [*system, *(texts(content) for content in contents)]
    blocks = [block for content in contents for block in _blocks(content)]
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    return Asked(
        model=str(body.get("model", "")),
        text="\n".join(text for one in said for text in one),
        prompt="\n".join(texts(contents[-1])) if contents else "",
        messages=len(said),
        cap=body.get("max_tokens"),
        images=sum(block.get("type") == "image" for block in blocks),
        tools=_tools_to_call(body),
        schema=schema,
        stream=bool(body.get("stream")),
    )


def objection(body: Mapping[str, Any]) -> str | None:
    """Why Anthropic would refuse a request; None if it would not."""
    strange = sorted(set(body) - FIELDS)
    if strange:
        return f"{strange[0]}: Extra inputs are not permitted"
    if not body.get("model") or not isinstance(body.get("messages"), list):
        return "model and messages: Field required"
    return _objection_to_settings(body) or _objection_to_messages(body["messages"])


def _objection_to_settings(body: Mapping[str, Any]) -> str | None:
    cap = body.get("max_tokens")
    if not isinstance(cap, int) or cap < 1:
        return "max_tokens: Field required"
    if not 0 <= body.get("temperature", 1) <= 1:
        return "temperature: range: 0..1"
    if not set(body.get("metadata") or {}) <= {"user_id"}:
        return "metadata: Extra inputs are not permitted"
    for tool in body.get("tools") or ():
        if not isinstance(tool.get("input_schema"), Mapping) and "type" not in tool:
            return "tools.0.input_schema: Field required"
    return None


def _objection_to_messages(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Every message must have content, and every tool call its result in the next message."""
    called: set[str] = set()
    for message in messages:
        blocks = _blocks(message.get("content"))
        results = {block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"}
        if message.get("role") not in {"user", "assistant"}:
            return f"messages: Unexpected role {message.get('role')!r}"
        if not message.get("content") or any(_is_empty_text(block) for block in blocks):
            return "messages: all messages must have non-empty content"
        if any(_is_strange_image(block) for block in blocks):
            return "messages: image.source.media_type: not supported"
        if results != called:
            return "messages: tool_use ids and tool_result blocks do not match"
        called = {block["id"] for block in blocks if block.get("type") == "tool_use"}
    return "messages: nothing to answer" if called or not messages else None


def _is_empty_text(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text" and not block.get("text")


def _is_strange_image(block: Mapping[str, Any]) -> bool:
    source = block.get("source") or {}
    return (
        block.get("type") == "image"
        and source.get("type") == "base64"
        and source.get("media_type") not in IMAGE_TYPES
    )


def completion(
    reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
) -> dict[str, Any]:
    """A whole message."""
    answer = {
        **_head(body, number),
        "content": _content(reply),
        "stop_reason": STOP_REASONS[reply.finish],
    }
    if behaviour.fault is not Fault.NO_USAGE:
        answer["usage"] = message_usage(reply.usage)
    return answer


def frames(
    reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
) -> Iterator[Frame]:
    """A streamed message: every type of event, with the usage's counts cumulative."""
    silent = behaviour.fault is Fault.NO_USAGE
    begun = {**_head(body, number), "content": [], "stop_reason": None}
    if not silent:
        begun["usage"] = {**message_usage(reply.usage), "output_tokens": 1}
    yield _event("message_start", message=begun)
    yield _event("ping")
    for index, block in enumerate(_content(reply)):
        yield from _block_frames(index, block)
    ended: dict[str, Any] = {
        "delta": {"stop_reason": STOP_REASONS[reply.finish], "stop_sequence": None}
    }
    if not silent:
        ended["usage"] = {"output_tokens": reply.usage.completion}
    yield _event("message_delta", **ended)
    yield _event("message_stop")


def _block_frames(index: int, block: Mapping[str, Any]) -> Iterator[Frame]:
    """A content block: begun empty, filled in deltas, ended."""
    match block["type"]:
        case "thinking":
            empty: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": piece}
                for piece in text_pieces(block["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in text_pieces(block["text"])]
        case _:
            empty = {**block, "input": {}}
            arguments = json.dumps(block["input"])
            middle = len(arguments) // 2
            parts = ("", arguments[:middle], arguments[middle:])
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    yield _event("content_block_start", index=index, content_block=empty)
    for delta in deltas:
        yield _event("content_block_delta", generated=True, index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def error(behaviour: Behaviour) -> dict[str, Any]:
    """An error in Anthropic's shape."""
    default = "invalid_request_error" if 400 <= behaviour.status < 500 else "api_error"
    said: dict[str, Any] = {
        "type": ERROR_TYPES.get(behaviour.status, default),
        "message": behaviour.said,
    }
    if behaviour.error_code == "insufficient_quota":
        said["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": said, "request_id": "req_upstream"}


def error_event(behaviour: Behaviour) -> Frame:
    """An error in the middle of a stream."""
    return event(error(behaviour), name="error")


def malformed_event() -> Frame:
    """An event that is not JSON."""
    return event('{"type": "content_block_', name="content_block_delta")


def models(after: str | None) -> dict[str, Any]:
    """The page of the list of models that comes after one of them."""
    rest = MODELS[MODELS.index(after) + 1 :] if after in MODELS else MODELS
    page = rest[:MODELS_PER_PAGE]
    return {
        "data": [_model(name) for name in page],
        "has_more": len(rest) > len(page),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 8_192,
    }


def message_usage(usage: Usage) -> dict[str, Any]:
    """The usage of a message, whose `input_tokens` are those that no cache had to do with."""
    written = usage.cache_write_5m + usage.cache_write_1h
    reported: dict[str, Any] = {
        "input_tokens": usage.prompt - usage.cache_read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.completion,
        "service_tier": "standard",
    }
    if written:
        reported["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    return reported


def _head(body: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": f"msg_upstream_{number}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "stop_sequence": None,
    }


def _content(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": SIGNATURE})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for call in reply.tool_calls:
        arguments = json.loads(call.arguments)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return blocks


def _event(name: str, *, generated: bool = False, **data: Any) -> Frame:
    return event({"type": name, **data}, name=name, generated=generated)


def _tools_to_call(body: Mapping[str, Any]) -> tuple[ToolOffered, ...]:
    tools = [
        ToolOffered(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools", ())
    ]
    choice = body.get("tool_choice") or {}
    content = body["messages"][-1].get("content") if body.get("messages") else None
    answered = any(block.get("type") == "tool_result" for block in _blocks(content))
    if choice.get("type") == "none" or (answered and choice.get("type") != "tool"):
        return ()
    return chosen_tools(
        tools,
        "\n".join(texts(content)),
        must=choice.get("type") == "any",
        named=choice.get("name") if choice.get("type") == "tool" else None,
    )


def _blocks(content: Any) -> list[Mapping[str, Any]]:
    return list(content) if isinstance(content, list) else []
