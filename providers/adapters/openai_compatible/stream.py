"""Streamed chat completions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from providers import failures, usage
from providers.adapters import StreamFailed, malformed
from providers.adapters.chunks import has_substance
from providers.adapters.openai_compatible.wire import failed_choice, is_error
from providers.failures import Failure
from providers.requests import ChatRequest, Chunk
from providers.sse import ServerSentEvent
from providers.usage import Usage

DONE = "[DONE]"


class ChatStream:
    """Passes chunks on as they are, under the client's name for the model, and keeps count.

    The answer is complete when the host says so (`[DONE]`), or when every choice has a reason for
    which it finished: some hosts leave the one out, some the other.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model.name
        self._choices = int(request.body.get("n") or 1)
        self._seen: set[Any] = set()
        self._finished: set[Any] = set()
        self._substance = False
        self._ended = False
        self._usage: Usage | None = None

    @property
    def usage(self) -> Usage | None:
        return self._usage

    @property
    def ended(self) -> bool:
        return self._ended

    def feed(self, event: ServerSentEvent) -> list[Chunk]:
        data = event.data.strip()
        if not data or self._ended:
            return []
        if data == DONE:
            self._ended = True
            return []
        body = self._parsed(data)
        if is_error(body) or event.event == "error":
            raise StreamFailed(self._billed(failures.from_event(body)))
        self._usage = usage.from_openai(body.get("usage")) or self._usage
        return self._chunks(body)

    def close(self) -> Failure | None:
        if self._seen and (self._ended or self._all_finished()):
            return None
        if self._ended:
            return malformed("The provider's streamed answer had nothing in it.")
        return malformed("The provider's answer broke off before it was complete.")

    def _parsed(self, data: str) -> dict[str, Any]:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise StreamFailed(malformed("The provider streamed something that is not a chunk."))
        return body

    def _chunks(self, body: dict[str, Any]) -> list[Chunk]:
        choices = body.get("choices")
        reports = body.get("usage") is not None
        if choices is None and not reports:
            return []  # A sign of life, and nothing of the answer.
        choices = choices or []
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            raise StreamFailed(malformed("The provider streamed something that is not a chunk."))
        failure = failed_choice(choices)
        if failure is not None:
            raise StreamFailed(self._billed(failure))
        noted = [self._note(choice) for choice in choices]
        substance = any(noted)
        self._substance = self._substance or substance
        body["choices"] = choices
        body["model"] = self._model
        return [Chunk(body, substance=substance, usage_only=reports and not choices)]

    def _note(self, choice: dict[str, Any]) -> bool:
        """Keep account of one choice; whether its delta, or its end, is of substance."""
        index = choice.get("index", 0)
        index = index if isinstance(index, int) else 0
        self._seen.add(index)
        finished = choice.get("finish_reason") is not None
        if finished:
            self._finished.add(index)
        return finished or has_substance(choice.get("delta"))

    def _all_finished(self) -> bool:
        return self._seen == self._finished and len(self._finished) >= self._choices

    def _billed(self, failure: Failure) -> Failure:
        """What was generated before the failure is billed."""
        return replace(failure, may_be_billed=failure.may_be_billed or self._substance)
