"""Answers kept for a moment in Redis, where every process finds them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import redis.asyncio
import redis.exceptions

logger = logging.getLogger(__name__)
# A slow Redis must never slow a call: it is given so long, and after a failure left alone a while.
PATIENCE = 0.1
PAUSE = 5.0
CONNECTIONS = 32


class SharedAnswers:
    """Redis, as far as it answers at once. A failure is a miss, said once."""

    def __init__(self, url: str, prefix: str, clock: Callable[[], float]) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=PATIENCE
        )
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._prefix = prefix
        self._clock = clock
        self._rests_until = 0.0
        self._failing = False

    async def get(self, key: str) -> bytes | None:
        """What is kept under `key`, if it is there and told in time."""
        found = await self._asked(lambda: self._redis.get(self._prefix + key))
        return found if isinstance(found, bytes) else None

    async def put(self, key: str, content: bytes, seconds: int) -> None:
        """Keep `content` for so long, if Redis takes it in time."""
        await self._asked(lambda: self._redis.set(self._prefix + key, content, ex=seconds))

    async def close(self) -> None:
        """Let go of Redis."""
        await self._redis.aclose()

    async def _asked(self, command: Callable[[], Any]) -> Any:
        if self._clock() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await command()
        except (redis.exceptions.RedisError, OSError) as error:
            self._rests_until = self._clock() + PAUSE
            self._say(error)
            return None
        if self._failing:
            logger.warning("Redis shares answers again.")
            self._failing = False
        return answer

    def _say(self, error: Exception) -> None:
        if not self._failing:
            why = str(error).partition("\n")[0] or type(error).__name__
            logger.warning("Answers are not shared through Redis for now: %s", why)
        self._failing = True
