"""What messages say: text, images, thoughts, tool calls and their results, as blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from providers.adapters import Untranslatable

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII)
ODD_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
# Besides their content, blocks may have these of Anthropic's own.
NATIVE = ("cache_control",)

Block = dict[str, Any]


def as_list(value: Any) -> Sequence[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def blocks(content: Any, where: str) -> list[Block]:
    """The blocks of a message's content. Blank text has none: it would be refused."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    found = []
    for index, part in enumerate(as_list(content)):
        block = _block(part, f"{where}[{index}]")
        if block["type"] != "text" or block["text"].strip():
            found.append(block)
    return found


def _block(part: Any, where: str) -> Block:
    if not isinstance(part, Mapping):
        raise Untranslatable("A part of a message's content must be an object.", param=where)
    native = {name: part[name] for name in NATIVE if part.get(name) is not None}
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"], **native}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"], **native}
    if kind == "image_url":
        return {"type": "image", "source": _source(part.get("image_url"), where), **native}
    raise Untranslatable(
        f"This provider's protocol takes text and images, and this part is of type “{kind}”.",
        param=f"{where}.type",
    )


def _source(image: Any, where: str) -> Block:
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str) or not url:
        raise Untranslatable("An image needs a URL.", param=f"{where}.image_url.url")
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head = DATA_URL.match(url)
    if head is None or head[1] not in IMAGE_TYPES:
        raise Untranslatable(
            "This provider takes images as base64 data URLs of the types "
            f"{', '.join(IMAGE_TYPES)}, or by their address.",
            param=f"{where}.image_url.url",
        )
    return {"type": "base64", "media_type": head[1], "data": url[head.end() :]}


def thoughts(message: Mapping[str, Any]) -> list[Block]:
    """What the model thought before, exactly as it said it: only so is it taken back."""
    given = as_list(message.get("thinking_blocks"))
    return [dict(one) for one in given if isinstance(one, Mapping) and _is_thought(one)]


def _is_thought(block: Mapping[str, Any]) -> bool:
    if block.get("type") == "redacted_thinking":
        return isinstance(block.get("data"), str)
    return (
        block.get("type") == "thinking"
        and isinstance(block.get("thinking"), str)
        and isinstance(block.get("signature"), str)
    )


def tool_uses(message: Mapping[str, Any], where: str) -> list[Block]:
    """The tools that the model called before."""
    uses = []
    for index, call in enumerate(as_list(message.get("tool_calls"))):
        at = f"{where}.tool_calls[{index}]"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Untranslatable("A tool call must name its function.", param=f"{at}.function")
        arguments = _arguments(function.get("arguments"), f"{at}.function.arguments")
        use = {"type": "tool_use", "id": tool_id(call.get("id"), f"{at}.id")}
        uses.append({**use, "name": function["name"], "input": arguments})
    return uses


def _arguments(text: Any, where: str) -> dict[str, Any]:
    """Arguments are an object there and its JSON here; an empty text is an empty object."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return {}
    try:
        arguments = orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise Untranslatable("The arguments of a tool call must be a JSON object.", param=where)
    return arguments


def tool_result(message: Mapping[str, Any], where: str) -> Block:
    """What a tool answered."""
    found = blocks(message.get("content"), f"{where}.content")
    use = tool_id(message.get("tool_call_id"), f"{where}.tool_call_id")
    result: Block = {"type": "tool_result", "tool_use_id": use}
    if isinstance(message.get("content"), str) and found:
        result["content"] = message["content"]
    elif found:
        result["content"] = found
    if message.get("is_error") is True:
        result["is_error"] = True
    if message.get("cache_control") is not None:
        result["cache_control"] = message["cache_control"]
    return result


def tool_id(given: Any, where: str) -> str:
    """The id of a tool call. Other providers' ids may have characters that are refused here."""
    if not isinstance(given, str) or not given:
        raise Untranslatable("A tool call and its result need the same id.", param=where)
    return ODD_IN_AN_ID.sub("_", given)
