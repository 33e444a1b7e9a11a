"""A streamed answer under way: held back until it has substance, then watched to its end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from providers.attempts import ChunkStream, StreamBroken
from providers.failures import Failure
from providers.requests import Chunk
from providers.usage import Usage


@dataclass(frozen=True, slots=True)
class Beginning:
    """The chunks up to the first with substance; all of them if the answer is `complete`."""

    chunks: tuple[Chunk, ...]
    complete: bool


async def begun(source: ChunkStream) -> Beginning | Failure:
    """Wait for the first substance of `source`, which is closed if none comes."""
    chunks: list[Chunk] = []
    try:
        async for chunk in source:
            chunks.append(chunk)
            if chunk.substance:
                return Beginning(tuple(chunks), complete=False)
    except StreamBroken as broken:
        await source.aclose()
        return broken.failure
    except BaseException:
        await source.aclose()
        raise
    return Beginning(tuple(chunks), complete=True)


class Ending(Protocol):
    """Is told once how a stream ended: `failure` if it broke, `complete` if it is all there."""

    def __call__(self, *, failure: Failure | None = None, complete: bool = False) -> None: ...


class WatchedStream:
    """Every chunk of a stream from the first on; its end is told to `ending`, once."""

    def __init__(self, source: ChunkStream, beginning: Beginning, ending: Ending) -> None:
        self._source = source
        self._beginning = deque(beginning.chunks)
        self._complete = beginning.complete
        self._ending = ending
        self._ended = False

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far."""
        return self._source.usage

    def __aiter__(self) -> WatchedStream:
        return self

    async def __anext__(self) -> Chunk:
        if self._beginning:
            return self._beginning.popleft()
        if self._complete or self._ended:
            self._end(complete=self._complete)
            raise StopAsyncIteration
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            self._end(complete=True)
            raise
        except StreamBroken as broken:
            self._end(failure=broken.failure)
            raise

    async def aclose(self) -> None:
        """Close it upstream as well; before its end, it is broken off."""
        self._beginning.clear()
        self._end()
        await self._source.aclose()

    def _end(self, *, failure: Failure | None = None, complete: bool = False) -> None:
        if not self._ended:
            self._ended = True
            self._ending(failure=failure, complete=complete)
