"""Chunks of a streamed answer in OpenAI's format, made by Palyra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def split(completion: Mapping[str, Any]) -> Iterator[Chunk]:
    """The chunks of a whole answer, for a client that asked for it in pieces.

    Fields that Palyra does not know stay where they are: on the body, the choice or the delta.
    """
    base = {name: completion[name] for name in completion if name not in ("choices", "usage")}
    base["object"] = "chat.completion.chunk"
    for index, whole in enumerate(completion["choices"]):
        message = whole["message"]
        begun = {"index": whole.get("index", index), "delta": _begun(message)}
        yield Chunk(
            {**base, "choices": [{**begun, "finish_reason": None}]},
            substance=has_substance(message),
        )
        choice = {name: value for name, value in whole.items() if name != "message"}
        reason = whole.get("finish_reason") or "stop"
        finished = {**choice, "index": begun["index"], "delta": {}, "finish_reason": reason}
        yield Chunk({**base, "choices": [finished]})
    if completion.get("usage") is not None:
        usage = {**base, "choices": [], "usage": completion["usage"]}
        yield Chunk(usage, substance=False, usage_only=True)


def _begun(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as a delta, where tool calls are told apart by their index."""
    delta = {"role": "assistant", **message}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {**call, "index": index}
            for index, call in enumerate(calls)
            if isinstance(call, Mapping)
        ]
    return delta
