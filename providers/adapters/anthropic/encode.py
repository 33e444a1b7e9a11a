"""A chat request in OpenAI's format as one of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from providers.adapters import Untranslatable
from providers.adapters.anthropic.content import (
    Block,
    as_list,
    blocks,
    thoughts,
    tool_result,
    tool_uses,
)
from providers.adapters.anthropic.generations import Understands, understands
from providers.adapters.anthropic.schemas import narrowed
from providers.adapters.anthropic.thinking import is_thinking, thinking
from providers.adapters.anthropic.tools import is_forced, tools
from providers.adapters.anthropic.wire import headers
from providers.requests import ChatRequest
from providers.transport import OutboundRequest
from providers.vault import SecretText

SYSTEM_ROLES = ("system", "developer")
HOTTEST = 1.0
IN_JSON = "Answer with one JSON object and nothing else: no introduction, no code fence."
BY_SCHEMA = "Answer with JSON that fits this JSON schema, and nothing else:"


def encode_chat(request: ChatRequest, secret: SecretText | None) -> OutboundRequest:
    """The request as it is sent. Raises `Untranslatable` for what cannot be said there."""
    try:
        content = orjson.dumps(message_body(request))
    except TypeError as error:
        raise Untranslatable(f"The request cannot be sent as JSON: {error}.") from None
    return OutboundRequest(
        f"{request.model.provider.base_url}/messages",
        {"content-type": "application/json", **headers(secret, stream=request.stream)},
        content,
    )


def message_body(request: ChatRequest) -> dict[str, Any]:
    """The body of the request; fields that only OpenAI has are left out."""
    asked, can = request.body, understands(request.model.upstream_name)
    if asked.get("n") not in (None, 1):
        raise Untranslatable("This provider answers once: “n” must be 1.", param="n")
    system, messages = _messages(asked["messages"])
    body: dict[str, Any] = {
        "model": request.model.upstream_name,
        "max_tokens": request.output_cap,
        "messages": messages,
    }
    body |= tools(asked, strict=can.schemas)
    body |= thinking(asked, request.output_cap, can, forced=is_forced(body))
    instruction = _hold_to_format(body, asked.get("response_format"), can)
    if instruction:
        system.append({"type": "text", "text": instruction})
    if system:
        body["system"] = _system(system)
    body |= _sampling(asked, can, thinks=is_thinking(body))
    _add_rest(body, asked)
    if request.stream:
        body["stream"] = True
    return body


def _messages(given: Sequence[Mapping[str, Any]]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system's blocks, and the turns: what one side says in a row is one turn."""
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(given):
        role, where = message.get("role"), f"messages[{index}]"
        if role in SYSTEM_ROLES:
            system += blocks(message.get("content"), f"{where}.content")
            continue
        side = "assistant" if role == "assistant" else "user"
        found = _turn(message, where)
        if found and turns and turns[-1]["role"] == side:
            turns[-1]["content"] += found
        elif found:
            turns.append({"role": side, "content": found})
    if not turns:
        raise Untranslatable("Give at least one message that says something.", param="messages")
    _trim_last(turns[-1])
    return system, turns


def _turn(message: Mapping[str, Any], where: str) -> list[Block]:
    role = message.get("role")
    if role == "tool":
        return [tool_result(message, where)]
    if role == "function" or message.get("function_call"):
        raise Untranslatable(
            "Function calls are the old form, which this provider's protocol does not have. Use "
            "“tool_calls” and messages of the role “tool”.",
            param=where,
        )
    said = blocks(message.get("content"), f"{where}.content")
    if role != "assistant":
        return said
    refused = [] if said else blocks(message.get("refusal"), f"{where}.refusal")
    return [*thoughts(message), *said, *refused, *tool_uses(message, where)]


def _trim_last(turn: dict[str, Any]) -> None:
    """An answer that the model is to go on from must not end with blanks."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _system(system: list[Block]) -> str | list[Block]:
    """One text where nothing is lost by it: every compatible host takes that."""
    if all(block.keys() == {"type", "text"} for block in system):
        return "\n\n".join(block["text"] for block in system)
    return system


def _hold_to_format(body: dict[str, Any], wanted: Any, can: Understands) -> str:
    """Have the answer in JSON: by the host where it can, else by the instruction returned."""
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        return IN_JSON
    if kind != "json_schema":
        return ""
    named = wanted.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        raise Untranslatable("Give the schema.", param="response_format.json_schema.schema")
    enforced = narrowed(schema) if can.schemas else None
    if enforced is None:
        return f"{BY_SCHEMA}\n{orjson.dumps(schema).decode()}"
    held = {"type": "json_schema", "schema": enforced}
    body["output_config"] = {**body.get("output_config", {}), "format": held}
    return ""


def _sampling(asked: Mapping[str, Any], can: Understands, *, thinks: bool) -> dict[str, Any]:
    """The temperature, at most 1 there, or `top_p`; models refuse both together."""
    if not can.sampling or thinks:
        return {}
    temperature, top_p = asked.get("temperature"), asked.get("top_p")
    fields = {} if asked.get("top_k") is None else {"top_k": asked["top_k"]}
    if temperature is not None:
        hot = _is_number(temperature) and temperature > HOTTEST
        return {**fields, "temperature": HOTTEST if hot else temperature}
    return fields if top_p is None else {**fields, "top_p": top_p}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _add_rest(body: dict[str, Any], asked: Mapping[str, Any]) -> None:
    stop = asked.get("stop")
    stops = [stop] if isinstance(stop, str) else as_list(stop)
    stops = [one for one in stops if isinstance(one, str) and one.strip()]
    if stops:
        body["stop_sequences"] = stops
    user = asked.get("user") or asked.get("safety_identifier")
    if isinstance(user, str):
        body["metadata"] = {"user_id": user}
    # Anthropic's own, for those who know it: the last block that can be cached is.
    if asked.get("cache_control") is not None:
        body["cache_control"] = asked["cache_control"]
