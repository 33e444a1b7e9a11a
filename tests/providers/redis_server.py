"""As much of Redis as the cache needs, on loopback; it misbehaves on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class FakeRedis:
    """What was set, with its seconds to live, and the commands that came.

    While `silent` is set nothing is answered; with `word` everything is answered with it.
    """

    port: int = 0
    kept: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    commands: list[bytes] = field(default_factory=list)
    silent: bool = False
    word: bytes = b""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        try:
            while line := await reader.readline():
                parts = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    parts.append((await reader.readexactly(size + 2))[:-2])
                self.commands.append(parts[0].upper())
                if not self.silent:
                    writer.write(self.word or self._answer(parts))
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, parts: list[bytes]) -> bytes:
        name = parts[0].upper()
        if name == b"HELLO":
            return (
                b"-ERR unknown command\r\n" if parts[1:2] != [b"3"] else b"%1\r\n+proto\r\n:3\r\n"
            )
        if name == b"SET":
            key, value, unit, seconds = parts[1:5]
            assert unit == b"EX"
            self.kept[key] = (value, int(seconds))
        if name == b"GET":
            if parts[1] not in self.kept:
                return b"_\r\n"
            value, _ = self.kept[parts[1]]
            return b"$%d\r\n%b\r\n" % (len(value), value)
        return b"+OK\r\n"


@asynccontextmanager
async def serving() -> AsyncIterator[FakeRedis]:
    """A server until the block ends."""
    fake = FakeRedis()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
