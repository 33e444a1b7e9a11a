"""What the upstream answers: OpenAI chat completions, worked out from the request alone.

Pure, so that a test can work out the same usage, and the cost that must follow from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

CREATED = 1_760_000_000
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
LONGEST_ANSWER = 60
BEYOND_THE_CAP = 500


class Fault(StrEnum):
    """What is wrong with an answer whose status is a success."""

    NONE = "none"
    MALFORMED_JSON = "malformed_json"
    NO_USAGE = "no_usage"
    BEYOND_CAP = "beyond_cap"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How calls of one model are answered. `latency` is seconds, waited before the answer.

    With `hold` a call waits until it is released. A `status` of 400 or more is an error in OpenAI's
    shape. Token counts that are None follow from the prompt.
    """

    latency: float = 0.0
    hold: bool = False
    status: int = 200
    error_type: str = "server_error"
    error_code: str = "upstream_error"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = Fault.NONE
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, as the upstream counts them."""

    prompt: int
    completion: int


def usage_of(body: Mapping[str, Any], behaviour: Behaviour) -> Usage:
    """The tokens this request uses: the same for the same request, never above its cap."""
    text = _text(body)
    prompt = behaviour.prompt_tokens
    if prompt is None:
        messages = len(body.get("messages", ()))
        prompt = -(-len(text) // CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE * messages
    completion = behaviour.completion_tokens
    if completion is None:
        digest = hashlib.sha256(text.encode()).digest()
        completion = 1 + int.from_bytes(digest[:4], "big") % LONGEST_ANSWER
    cap = output_cap(body)
    if behaviour.fault is Fault.BEYOND_CAP:
        return Usage(prompt, (cap or completion) + BEYOND_THE_CAP)
    return Usage(prompt, completion if cap is None else min(cap, completion))


def output_cap(body: Mapping[str, Any]) -> int | None:
    """The most output tokens the request allows."""
    caps = [body.get("max_completion_tokens"), body.get("max_tokens")]
    given = [cap for cap in caps if isinstance(cap, int)]
    return min(given) if given else None


def completion(body: Mapping[str, Any], behaviour: Behaviour, *, number: int) -> dict[str, Any]:
    """The answer to a request, which was the upstream's `number`th."""
    usage = usage_of(body, behaviour)
    cut = usage.completion == output_cap(body)
    answer: dict[str, Any] = {
        "id": f"chatcmpl-upstream-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer_text(body, usage)},
                "finish_reason": "length" if cut else "stop",
                "logprobs": None,
            }
        ],
    }
    if behaviour.fault is not Fault.NO_USAGE:
        answer["usage"] = {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
        }
    return answer


def answer_text(body: Mapping[str, Any], usage: Usage) -> str:
    """What the model says: it names the prompt's digest, so that answers can be told apart."""
    digest = hashlib.sha256(_text(body).encode()).hexdigest()[:12]
    return f"upstream answer {digest} in {usage.completion} tokens"


def error(behaviour: Behaviour) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    return {
        "error": {
            "message": f"The upstream was told to answer {behaviour.status}.",
            "type": behaviour.error_type,
            "param": None,
            "code": behaviour.error_code,
        }
    }


def models(names: tuple[str, ...]) -> dict[str, Any]:
    """The list of models."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "upstream"}
            for name in names
        ],
    }


def _text(body: Mapping[str, Any]) -> str:
    """Everything the messages say, one after the other."""
    parts: list[str] = []
    for message in body.get("messages", ()):
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [str(part.get("text", "")) for part in content]
    return "\n".join(parts)
