"""A provider's side of a socket, for answers that no proper HTTP server would give."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson


@dataclass(slots=True)
class Exchange:
    """One request as it arrived, and the way to answer it; `hang_up` just ends the connection."""

    head: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str | None:
        """The value of a header; the name is in lower case."""
        for line in self.head.split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None

    async def send(self, content: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self, status: int, body: object, **headers: str) -> None:
        """Write a whole answer; `body` is bytes, or something to be JSON."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        await self.send(head(status, len(content), **headers) + content)

    async def begin(self, status: int = 200, **headers: str) -> None:
        """Write the head of an answer that comes in pieces."""
        lines = [f"HTTP/1.1 {status} Whatever", "Transfer-Encoding: chunked"]
        await self.send(_head(lines, {"content_type": "text/event-stream", **headers}))

    async def piece(self, content: bytes) -> None:
        """Write one piece of it."""
        await self.send(b"%x\r\n%s\r\n" % (len(content), content))

    async def end(self) -> None:
        """Say that there are no more pieces."""
        await self.send(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Wait until the other side has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def hang_up(self) -> None:
        """End the connection at once, in the middle of whatever it was."""
        self.writer.transport.abort()


def head(status: int, length: int, **headers: str) -> bytes:
    """The head of an answer; underscores in names stand for hyphens."""
    return _head([f"HTTP/1.1 {status} Whatever", f"Content-Length: {length}"], headers)


def _head(lines: list[str], headers: dict[str, str]) -> bytes:
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


Behaviour = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class Wire:
    """A server on a free loopback port, and what it received."""

    host: str = "127.0.0.1"
    port: int = 0
    received: list[Exchange] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """What a provider is registered with."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"


@asynccontextmanager
async def serving(
    behave: Behaviour, tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[Wire]:
    """A server that behaves so on every request; what still hangs at the end is cancelled."""
    wire = Wire(host)
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            try:
                while True:
                    text = (await reader.readuntil(b"\r\n\r\n")).decode()
                    exchange = Exchange(text, b"", reader, writer)
                    exchange.body = await reader.readexactly(
                        int(exchange.header("content-length") or 0)
                    )
                    wire.received.append(exchange)
                    await behave(exchange)
            finally:
                writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(converse(reader, writer)))

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
