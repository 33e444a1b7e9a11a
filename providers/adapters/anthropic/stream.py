"""Streamed answers of Anthropic's as chunks in OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from providers import failures, usage
from providers.adapters import StreamFailed, malformed
from providers.adapters.anthropic.decode import (
    call_id,
    finish_reason,
    is_error,
    refusal_of,
    shown_usage,
    thought,
)
from providers.adapters.chunks import ChunkMaker
from providers.failures import Failure
from providers.requests import ChatRequest, Chunk
from providers.sse import ServerSentEvent
from providers.usage import Usage

THOUGHTS = ("thinking", "redacted_thinking")


@dataclass(slots=True)
class _Block:
    """A content block under way: how it began, what has come of it, and which call it is."""

    began: dict[str, Any]
    call: int = 0
    text: list[str] = field(default_factory=list)
    signature: str = ""

    @property
    def kind(self) -> Any:
        return self.began.get("type")


class MessageStream:
    """Keeps the blocks under way, the usage so far and the reason to stop.

    Usage is cumulative: the last number counts. The choice finishes only with `message_stop`, so
    that an answer that breaks off after its last block has no clean ending.
    """

    def __init__(self, request: ChatRequest, *, now: datetime) -> None:
        self._model = request.model.name
        self._created = int(now.timestamp())
        self._make = ChunkMaker("", self._created, self._model)
        self._blocks: dict[Any, _Block] = {}
        self._calls = 0
        self._generated = 0
        self._reported: dict[str, Any] = {}
        self._final_usage = False
        self._stop: Mapping[str, Any] = {}
        self._began = False
        self._ended = False

    @property
    def usage(self) -> Usage | None:
        found = usage.from_anthropic(self._reported)
        if found is None or self._final_usage:
            return found
        # The first event reports the input; of the output it cannot know yet.
        generated = usage.tokens_of(self._generated) if self._generated else 0
        return replace(found, output=max(found.output, generated), reported=False)

    @property
    def ended(self) -> bool:
        return self._ended

    def feed(self, event: ServerSentEvent) -> list[Chunk]:
        data = event.data.strip()
        if not data or self._ended or data == "[DONE]":
            return []
        body = _parsed(data)
        kind = body.get("type") or event.event
        if is_error(body) or kind == "error":
            failure = failures.from_event(body)
            billed = failure.may_be_billed or bool(self._generated)
            raise StreamFailed(replace(failure, may_be_billed=billed))
        handle = self._handlers.get(kind) if isinstance(kind, str) else None
        return handle(self, body) if handle else []

    def close(self) -> Failure | None:
        if self._ended and self._began:
            return None
        return malformed("The provider's answer broke off before it was complete.")

    def _message_start(self, body: Mapping[str, Any]) -> list[Chunk]:
        message = _object(body.get("message"))
        self._began = True
        self._make = ChunkMaker(str(message.get("id") or ""), self._created, self._model)
        self._count(message.get("usage"))
        return [self._make.delta({"role": "assistant", "content": ""})]

    def _block_start(self, body: Mapping[str, Any]) -> list[Chunk]:
        block = _Block(dict(_object(body.get("content_block"))))
        self._blocks[_index(body)] = block
        if block.kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            function = {"name": _text(block.began.get("name")), "arguments": ""}
            call = {"id": call_id(block.began, block.call), "type": "function"}
            self._generated += len(function["name"])
            return [self._call_delta(block, {**call, "function": function})]
        if block.kind == "text":
            return self._grown(block, _text(block.began.get("text")), "content")
        if block.kind == "thinking":
            block.signature = _text(block.began.get("signature"))
            return self._grown(block, _text(block.began.get("thinking")), "reasoning_content")
        return []

    def _block_delta(self, body: Mapping[str, Any]) -> list[Chunk]:
        block, delta = self._blocks.get(_index(body)), _object(body.get("delta"))
        if block is None:
            raise StreamFailed(_not_understood())
        kind = delta.get("type")
        if kind == "text_delta" and block.kind == "text":
            return self._grown(block, _text(delta.get("text")), "content")
        if kind == "thinking_delta" and block.kind == "thinking":
            return self._grown(block, _text(delta.get("thinking")), "reasoning_content")
        if kind == "signature_delta":
            block.signature = _text(delta.get("signature"))
        if kind == "input_json_delta" and block.kind == "tool_use":
            return self._argued(block, _text(delta.get("partial_json")))
        return []

    def _block_stop(self, body: Mapping[str, Any]) -> list[Chunk]:
        block = self._blocks.pop(_index(body), None)
        if block is None:
            return []
        if block.kind in THOUGHTS:
            whole = {**block.began, "thinking": "".join(block.text), "signature": block.signature}
            return [self._make.delta({"thinking_blocks": [thought(whole)]})]
        if block.kind == "tool_use" and not block.text:
            return self._argued(block, _dumped(block.began.get("input")))
        return []

    def _message_delta(self, body: Mapping[str, Any]) -> list[Chunk]:
        self._count(body.get("usage"))
        self._final_usage = self._final_usage or "output_tokens" in _object(body.get("usage"))
        delta = _object(body.get("delta"))
        self._stop = {**self._stop, **{k: v for k, v in delta.items() if v is not None}}
        return []

    def _message_stop(self, body: Mapping[str, Any]) -> list[Chunk]:
        if not self._began:
            raise StreamFailed(_not_understood())
        self._ended = True
        chunks = [
            chunk for index in list(self._blocks) for chunk in self._block_stop({"index": index})
        ]
        refusal = refusal_of(self._stop.get("stop_details"))
        if refusal is not None:
            chunks.append(self._make.delta({"refusal": refusal}))
        stop_reason = self._stop.get("stop_reason")
        finish = finish_reason(stop_reason, calls=self._calls > 0)
        chunks.append(self._make.finish(finish, native_finish_reason=stop_reason))
        found = usage.from_anthropic(self._reported) if self._final_usage else None
        if found is not None:
            chunks.append(self._make.usage(shown_usage(found, self._reported)))
        return chunks

    def _grown(self, block: _Block, text: str, name: str) -> list[Chunk]:
        if not text:
            return []
        block.text.append(text)
        self._generated += len(text.encode())
        return [self._make.delta({name: text})]

    def _argued(self, block: _Block, text: str) -> list[Chunk]:
        if not text:
            return []
        block.text.append(text)
        self._generated += len(text.encode())
        return [self._call_delta(block, {"function": {"arguments": text}})]

    def _call_delta(self, block: _Block, call: Mapping[str, Any]) -> Chunk:
        return self._make.delta({"tool_calls": [{"index": block.call, **call}]})

    def _count(self, reported: Any) -> None:
        """Later numbers replace earlier ones; those not given again stay."""
        given = _object(reported)
        self._reported |= {name: value for name, value in given.items() if value is not None}

    _handlers = {
        "message_start": _message_start,
        "content_block_start": _block_start,
        "content_block_delta": _block_delta,
        "content_block_stop": _block_stop,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
    }


def _parsed(data: str) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise StreamFailed(_not_understood())
    return body


def _not_understood() -> Failure:
    return malformed("The provider streamed something that is not an event of a message.")


def _index(body: Mapping[str, Any]) -> int:
    index = body.get("index")
    return index if isinstance(index, int) else 0


def _dumped(arguments: Any) -> str:
    try:
        return orjson.dumps(arguments).decode() if isinstance(arguments, dict) else "{}"
    except TypeError:
        raise StreamFailed(_not_understood()) from None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
