"""Answers kept for a moment: the same team's same question gets the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from providers.requests import Answer, ModelRequest


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
    raise NotImplementedError


class ResponseCache:
    """In this process's memory, bounded; shared through Redis where that is configured."""

    async def get(self, key: str) -> CachedAnswer | None:
        raise NotImplementedError

    async def put(self, key: str, cached: CachedAnswer, *, seconds: int) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
