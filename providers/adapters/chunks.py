"""Chunks of a streamed answer in OpenAI's format, made by Palyra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.requests import Chunk

# What a delta may have that nothing was generated for.
BARE = {"role"}


@dataclass(frozen=True, slots=True)
class ChunkMaker:
    """Makes the chunks of one answer: all of them have its id, time (Unix seconds) and model."""

    id: str
    created: int
    model: str

    def delta(self, delta: Mapping[str, Any], *, index: int = 0) -> Chunk:
        """One more piece of a choice."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return Chunk(self._body([choice]), substance=has_substance(delta))

    def finish(self, reason: str, *, index: int = 0, **fields: Any) -> Chunk:
        """The end of a choice; `fields` are further ones of it."""
        choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason, **fields}
        return Chunk(self._body([choice]))

    def usage(self, usage: Mapping[str, Any]) -> Chunk:
        """The last chunk, which says what the answer took."""
        return Chunk({**self._body([]), "usage": usage}, substance=False, usage_only=True)

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def has_substance(delta: Any) -> bool:
    """Whether a delta carries something the model generated, beyond saying who speaks."""
    return isinstance(delta, Mapping) and any(
        value for name, value in delta.items() if name not in BARE
    )
