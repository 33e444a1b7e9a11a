"""One request to `/v1`, as the server hands it over: whose it is, what it says, and its body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from governance.errors import InvalidRequest
from governance.runtime import Runtime
from governance.snapshot import KeyEntry
from palyra_site.openai_endpoint.answers import EndpointError, refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientDisconnected(Exception):
    """The client went away before it was answered in full."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose key is known to be good. Its body is read by whoever wants it, once."""

    path: str
    headers: Mapping[bytes, bytes]
    key: KeyEntry
    runtime: Runtime
    receive: Receive
    body_limit: int

    def header(self, name: bytes) -> str:
        """A header's text without the blanks around it; empty if it was not sent."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    async def read(self, *, limit: int | None = None) -> bytes:
        """The whole body, of at most `limit` bytes. Raises `EndpointError` with 413 if it is more,
        and `ClientDisconnected`."""
        limit = self.body_limit if limit is None else limit
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        pieces, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return b"".join(pieces)

    async def json(self) -> Any:
        """The body, read as JSON."""
        try:
            return orjson.loads(await self.read())
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The request body is not JSON: {error}.") from None

    async def gone(self) -> None:
        """Return when the client goes away; for after its body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _too_large(limit: int) -> EndpointError:
    return EndpointError(
        refusal(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")
    )
