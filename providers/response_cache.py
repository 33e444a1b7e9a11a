"""Answers kept for a moment: the same team's same question gets the same answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson
from cachetools import TLRUCache

from providers.requests import (
    Answer,
    ChatRequest,
    EmbeddingsRequest,
    ModelRequest,
    TranscriptionRequest,
)
from providers.usage import Usage

if TYPE_CHECKING:
    from providers.shared_answers import SharedAnswers

MEMORY_BYTES = 64 * 1024**2
LARGEST_ENTRY = 1024**2
PREFIX = "palyra:answer:"
# What a body says besides the question.
WITHOUT_EFFECT = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "prompt_cache_key",
        "safety_identifier",
    }
)
FALSE_WORDS = frozenset({"", "0", "false"})


class CacheUse(Enum):
    """What a caller wants of the cache."""

    DEFAULT = "default"
    ASKED = "asked"  # also where the answer may differ each time
    REFRESH = "refresh"  # Cache-Control: no-cache: do not read, but keep
    OFF = "off"  # Cache-Control: no-store


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it was given, and the model (`provider/model`) that gave it."""

    answer: Answer
    model: str


def cache_key(request: ModelRequest, *, team_id: int, use: CacheUse) -> str | None:
    """The key of everything that can change the answer, or None if it is not to be cached.

    Never for tools or audio that streams, for more than one choice, or, unless asked, where the
    temperature is not 0; embeddings and transcriptions at temperature 0 have one answer.
    """
    if use is CacheUse.OFF or not _cacheable(request, asked=use is CacheUse.ASKED):
        return None
    model = request.model
    whole = {
        "team": team_id,
        "provider": model.provider.id,
        "host": [model.provider.kind, model.provider.base_url],
        "model": model.id,
        "upstream": model.upstream_name,
        "role": model.role,
        "asked": _asked(request),
    }
    try:
        canonical = orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # A number of more than 64 bits, say: it is asked and not kept.
        return None
    return hashlib.sha256(canonical).hexdigest()


def _cacheable(request: ModelRequest, *, asked: bool) -> bool:
    if isinstance(request, EmbeddingsRequest):
        return True
    if isinstance(request, TranscriptionRequest):
        streams = dict(request.fields).get("stream", "").lower() not in FALSE_WORDS
        return not streams and (asked or _is_zero(dict(request.fields).get("temperature", "0")))
    return _may_keep_chat(request) and (asked or _is_zero(request.body.get("temperature")))


def _may_keep_chat(request: ChatRequest) -> bool:
    body = request.body
    if body.get("tools") or body.get("functions"):
        return False
    # Without a list of modalities, an answer is text.
    speaks = body.get("audio") is not None or body.get("modalities") not in (None, ["text"])
    return not (speaks and request.stream) and body.get("n") in (None, 1)


def _is_zero(temperature: Any) -> bool:
    """Whether it is said to be 0. A chat's absent temperature is its provider's, mostly 1."""
    if temperature is None or isinstance(temperature, bool):
        return False
    try:
        return float(temperature) == 0
    except (TypeError, ValueError):
        return False


def _asked(request: ModelRequest) -> dict[str, Any]:
    if isinstance(request, TranscriptionRequest):
        return {
            "audio": hashlib.sha256(request.audio).hexdigest(),
            "name": request.filename,
            "type": request.content_type,
            "fields": [list(one) for one in request.fields if one[0] not in WITHOUT_EFFECT],
        }
    body = {name: value for name, value in request.body.items() if name not in WITHOUT_EFFECT}
    if isinstance(request, ChatRequest):
        # A smaller cap may cut the answer short.
        return {"body": body, "cap": request.output_cap}
    return {"body": body}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer as bytes, and when it is too old, by the monotonic clock."""

    content: bytes
    expires: float


class ResponseCache:
    """In this process's memory, bounded; shared through Redis where that is configured.

    `installation` keeps those apart that use one Redis: their teams have the same numbers.
    """

    def __init__(
        self,
        *,
        redis_url: str = "",
        installation: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._memory: TLRUCache[str, _Entry] = TLRUCache(
            MEMORY_BYTES,
            ttu=lambda _key, entry, _now: entry.expires,
            timer=clock,
            getsizeof=lambda entry: len(entry.content),
        )
        prefix = f"{PREFIX}{installation}:" if installation else PREFIX
        self._shared = _shared(redis_url, prefix, clock) if redis_url else None

    async def get(self, key: str) -> CachedAnswer | None:
        """The answer kept under `key`, if it is not too old."""
        entry = self._memory.get(key)
        if entry is not None:
            return _read(entry.content, key)
        content = await self._shared.get(key) if self._shared is not None else None
        return _read(content, key) if content is not None else None

    async def put(self, key: str, cached: CachedAnswer, *, seconds: int) -> None:
        """Keep an answer for so long; one larger than `LARGEST_ENTRY` is not kept."""
        content = _written(cached, key)
        if seconds <= 0 or content is None or len(content) > LARGEST_ENTRY:
            return
        self._memory[key] = _Entry(content, self._clock() + seconds)
        if self._shared is not None:
            await self._shared.put(key, content, seconds)

    async def close(self) -> None:
        """Forget what is in memory, and let go of Redis."""
        self._memory.clear()
        if self._shared is not None:
            await self._shared.close()


def _shared(url: str, prefix: str, clock: Callable[[], float]) -> SharedAnswers:
    # Loading the client takes a tenth of a second of each process's start, for nothing without it.
    from providers.shared_answers import SharedAnswers  # noqa: PLC0415

    return SharedAnswers(url, prefix, clock)


def _written(cached: CachedAnswer, key: str) -> bytes | None:
    answer = cached.answer
    try:
        return orjson.dumps(
            {
                "key": key,
                "model": cached.model,
                "body": answer.body,
                "content_type": answer.content_type,
                "usage": None if answer.usage is None else asdict(answer.usage),
            }
        )
    except TypeError:
        return None


def _read(content: bytes, key: str) -> CachedAnswer | None:
    """The answer that was written for `key`; None for anything else that may stand there."""
    try:
        kept = orjson.loads(content)
        if kept["key"] != key:
            return None
        usage = None if kept["usage"] is None else Usage(**kept["usage"])
        answer = Answer(kept["body"], usage, str(kept["content_type"]))
        return CachedAnswer(answer, str(kept["model"]))
    except (ValueError, TypeError, KeyError):
        return None
