"""Reading a chat request: what may be asked, and how large it can be at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from governance.errors import InvalidRequest

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
MAX_CHOICES = 16
BYTES_PER_TOKEN = 4
EXPECTED_OUTPUT = 512
# What chat templates add around messages, tools and images is counted generously: a bound that can
# be low is no bound. The dearest image of any current provider is below IMAGE_TOKENS.
REQUEST_OVERHEAD = 64
MESSAGE_OVERHEAD = 16
TOOLS_OVERHEAD = 1024
IMAGE_TOKENS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedChat:
    """A chat request that can be made; sizes are tokens, `output_limit` those of each choice."""

    model: str
    body: Mapping[str, Any]
    output_limit: int | None
    choices: int
    input_bound: int
    expected_input: int

    def output_cap(self, model_cap: int) -> int:
        """The most output tokens for each choice, for a model that gives at most `model_cap`."""
        return model_cap if self.output_limit is None else min(self.output_limit, model_cap)

    def expected_output(self, output_cap: int) -> int:
        """What all choices together are likely to take of `output_cap` each."""
        return min(output_cap, EXPECTED_OUTPUT) * self.choices


def parse(body: Any) -> ParsedChat:
    """Check a request in OpenAI's chat format. Raises `InvalidRequest` naming the field at fault.

    Only what Palyra must understand is checked; everything else is the provider's to judge.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The request body must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequest("Name a model, or “auto” to let Palyra choose.", param="model")
    messages = _messages(body.get("messages"))
    if body.get("stream"):
        raise InvalidRequest(
            "Streamed answers are not available yet; leave “stream” out or set it to false.",
            param="stream",
        )
    text_bytes, images = _measure(messages)
    extras = [body.get(name) for name in ("tools", "functions", "response_format")]
    extra_bytes = sum(len(orjson.dumps(extra)) for extra in extras if extra)
    return ParsedChat(
        model=model.strip(),
        body=body,
        output_limit=_output_limit(body),
        choices=_choices(body.get("n")),
        input_bound=REQUEST_OVERHEAD
        + len(messages) * MESSAGE_OVERHEAD
        + text_bytes
        + images * IMAGE_TOKENS
        + (extra_bytes + TOOLS_OVERHEAD if extra_bytes else 0),
        expected_input=max(1, -(-(text_bytes + extra_bytes) // BYTES_PER_TOKEN)),
    )


def _messages(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("Give at least one message.", param="messages")
    for index, message in enumerate(value):
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise InvalidRequest(
                f"Each message is an object with one of the roles {', '.join(sorted(ROLES))}.",
                param=f"messages[{index}]",
            )
        if not isinstance(message.get("content"), str | list | None):
            raise InvalidRequest(
                "A message's content is text or a list of parts.",
                param=f"messages[{index}].content",
            )
    return value


def _output_limit(body: Mapping[str, Any]) -> int | None:
    limits = []
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 1:
            raise InvalidRequest(f"{name} must be a whole number of at least 1.", param=name)
        limits.append(value)
    return min(limits, default=None)


def _choices(value: Any) -> int:
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= MAX_CHOICES:
        raise InvalidRequest(f"n must be a whole number from 1 to {MAX_CHOICES}.", param="n")
    return value


def _measure(messages: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """The UTF-8 bytes of everything sent as text, and the number of images.

    No tokenizer in use makes more tokens of a text than it has bytes. Images are counted,
    for the bytes of an address or of base64 say nothing of an image's tokens.
    """
    total, images = 0, 0
    for message in messages:
        bare = dict(message)
        parts = bare.get("content")
        if isinstance(parts, list):
            bare["content"] = [part for part in parts if not _is_image(part)]
            images += len(parts) - len(bare["content"])
        total += len(orjson.dumps(bare))
    return total, images


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"
