"""A provider without a network: the same prompt has the same answer, for rehearsals and tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from providers.failures import Failure, FailureClass
from providers.requests import Answer, ChatRequest, Outcome
from providers.usage import Usage

BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 256
QUOTED_CHARACTERS = 60
SENTENCES = (
    "The figures agree with what was expected.",
    "Two points deserve a closer look before the end of the week.",
    "Nothing here needs a decision today.",
    "The trend is steady, with a small rise towards the end.",
    "A short summary follows for those who were away.",
    "The first step is done; the second depends on the reply.",
    "Costs stayed within the plan.",
    "One item is late and has a new date.",
)


async def chat(request: ChatRequest) -> Outcome:
    """Answer after the provider's rehearsed latency, or fail if this prompt is one that fails."""
    provider = request.model.provider
    digest = _digest(request)
    if provider.rehearsal_latency_ms:
        await asyncio.sleep(provider.rehearsal_latency_ms / 1000)
    if digest[0] * 100 < provider.rehearsal_failure_percent * 256:
        return Failure(
            failure_class=FailureClass.TRANSIENT_UPSTREAM,
            message="This prompt is one of those that the provider rehearses a failure for.",
            http_status=503,
        )
    return _answer(request, digest)


def _digest(request: ChatRequest) -> bytes:
    asked = [request.model.name, request.body.get("messages")]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


def _answer(request: ChatRequest, digest: bytes) -> Answer:
    text, finished = _cut(_text(request.body, digest), request.output_cap)
    choices = int(request.body.get("n") or 1)
    usage = Usage(
        uncached_input=_input_tokens(request.body["messages"]),
        output=tokens_of(len(text.encode())) * choices,
    )
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": f"chatcmpl-{digest.hex()[:24]}",
        "object": "chat.completion",
        "created": int.from_bytes(digest[:3], "big") + 1_700_000_000,
        "model": request.model.name,
        "choices": [
            {
                "index": index,
                "message": message,
                "logprobs": None,
                "finish_reason": "stop" if finished else "length",
            }
            for index in range(choices)
        ],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.total,
        },
    }
    return Answer(body, usage)


def tokens_of(size: int) -> int:
    """A plausible token count for so many bytes: one for every four, at least one."""
    return max(1, -(-size // BYTES_PER_TOKEN))


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
    sentences = [SENTENCES[byte % len(SENTENCES)] for byte in digest[1 : 3 + digest[1] % 3]]
    text = f"You asked: “{_question(body)}” " + " ".join(dict.fromkeys(sentences))
    wanted = body.get("response_format")
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_object":
        return orjson.dumps({"answer": text}).decode()
    return text


def _question(body: Mapping[str, Any]) -> str:
    """The beginning of the last message's text."""
    content = body["messages"][-1].get("content") or ""
    if isinstance(content, list):
        content = " ".join(
            str(part.get("text", "")) for part in content if isinstance(part, Mapping)
        )
    words = " ".join(str(content).split())
    return words if len(words) <= QUOTED_CHARACTERS else words[: QUOTED_CHARACTERS - 1] + "…"


def _cut(text: str, output_cap: int) -> tuple[str, bool]:
    """`text` within the cap, and whether all of it fitted."""
    content = text.encode()
    limit = output_cap * BYTES_PER_TOKEN
    if len(content) <= limit:
        return text, True
    return content[:limit].decode(errors="ignore"), False
