"""Chat as every adapter speaks of it: OpenAI's format is the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.failures import Failure
from providers.registry import ModelEntry
from providers.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion to be made of `model`.

    `body` is the caller's request in OpenAI's format; fields Palyra does not know pass through.
    `output_cap` is the most output tokens, a choice, that are paid for: no more may be asked for.
    """

    model: ModelEntry
    body: Mapping[str, Any]
    output_cap: int


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """An answer in OpenAI's format, and its usage if the provider reported one."""

    body: dict[str, Any]
    usage: Usage | None


ChatOutcome = ChatAnswer | Failure


def answer_text(body: Mapping[str, Any]) -> str:
    """The text of the first choice of an answer; empty if it has none (a tool call, say)."""
    content = body["choices"][0]["message"].get("content")
    return content if isinstance(content, str) else ""
