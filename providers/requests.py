"""What can be asked of a model, and what comes back: OpenAI's formats are the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.failures import Failure
from providers.registry import ModelEntry
from providers.usage import Usage

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion to be made of `model`.

    `body` is the caller's request in OpenAI's format; fields Palyra does not know pass through.
    `output_cap` is the most output tokens, a choice, that are paid for: no more may be asked for.
    With `stream` the answer comes in pieces.
    """

    model: ModelEntry
    body: Mapping[str, Any]
    output_cap: int
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """Embeddings to be made by `model`; `body` is in OpenAI's format, `input` a text, a list of
    texts, a list of token ids, or a list of such lists."""

    model: ModelEntry
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """Speech to be written down by `model`.

    `fields` are the form's other fields in order, name and value; a name may come more than once.
    """

    model: ModelEntry
    fields: tuple[tuple[str, str], ...]
    filename: str
    content_type: str
    audio: bytes


ModelRequest = ChatRequest | EmbeddingsRequest | TranscriptionRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer in OpenAI's format, and its usage if the provider reported one.

    `body` is a JSON object, or text where `content_type` is not JSON (subtitles, say).
    """

    body: Any
    usage: Usage | None
    content_type: str = JSON_TYPE


Outcome = Answer | Failure


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer: an OpenAI `chat.completion.chunk`.

    `substance` is False for one that carries nothing the model generated, such as the role; while
    only such have come, another provider may still take over. `usage_only` marks the chunk without
    choices that reports the usage, which a client gets only if it asked.
    """

    body: dict[str, Any]
    substance: bool = True
    usage_only: bool = False


def answer_text(body: Mapping[str, Any]) -> str:
    """The text of the first choice of an answer; empty if it has none (a tool call, say)."""
    content = body["choices"][0]["message"].get("content")
    return content if isinstance(content, str) else ""
