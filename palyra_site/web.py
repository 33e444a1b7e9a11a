"""The web process: `/v1` on its own short chain, everything else through full Django."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from governance.runtime import Runtime
from palyra_site.openai_endpoint.application import OpenAIEndpoint
from palyra_site.openai_endpoint.requests import Receive, Scope, Send
from palyra_site.serving import KEY, Serving

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)
# What calls that the server broke off are given to be closed and settled.
LAST_SECONDS = 3.0


class WebApplication:
    """Holds the process's runtime from the server's start to its end."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._serving: Serving | None = None
        self._openai = OpenAIEndpoint(
            lambda: self.runtime, body_limit=settings.PALYRA_REQUEST_BODY_LIMIT
        )

    @property
    def runtime(self) -> Runtime:
        """The runtime; there is one once the server has started."""
        if self._serving is None:
            raise RuntimeError("The server must run with its lifespan on.")
        return self._serving.runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a request to the chain that its path belongs to."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http":
            return
        elif scope["path"] == "/livez":
            await _answer_alive(send)
        elif scope["path"] == "/v1" or scope["path"].startswith("/v1/"):
            await self._openai(scope, receive, send)
        else:
            await self._django({**scope, KEY: self._serving}, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await _report(self._start, send, "startup")
            elif message["type"] == "lifespan.shutdown":
                await _report(self._stop, send, "shutdown")
                return

    async def _start(self) -> None:
        self._serving = Serving(await Runtime.start(role="web"))

    async def _stop(self) -> None:
        if self._serving is not None:
            await asyncio.gather(
                self._openai.finish(LAST_SECONDS), self._serving.under_way.finish(LAST_SECONDS)
            )
            await self._serving.runtime.stop()


async def _report(step: Callable[[], Awaitable[None]], send: Send, name: str) -> None:
    try:
        await step()
    except Exception as error:
        logger.exception("The web process's %s failed.", name)
        await send({"type": f"lifespan.{name}.failed", "message": str(error)})
    else:
        await send({"type": f"lifespan.{name}.complete"})


async def _answer_alive(send: Send) -> None:
    """Alive means that the event loop turns: no database, no file."""
    headers: list[Any] = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok\n"})
