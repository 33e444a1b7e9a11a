"""The web process's application behind a real server on loopback, in this process and loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
import uvicorn
from asgiref.sync import sync_to_async
from django.db import connections

from palyra_site.asgi import django_application
from palyra_site.web import Application, WebApplication

PATIENCE = 60.0
GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A web application that is being served, and a client of it with a key."""

    application: WebApplication
    client: httpx.AsyncClient
    server: _Server

    async def stop(self) -> None:
        """Stop serving, as often as wanted: every pending settlement is written."""
        await self.server.end()


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, application: WebApplication, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, application),
                lifespan="on",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._ready = asyncio.Event()
        self._life = asyncio.create_task(self.serve(sockets=[listener]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def begin(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, self._life), return_when=asyncio.FIRST_COMPLETED)
        assert self.started, "the application did not start"

    async def end(self) -> None:
        self.should_exit = True
        await self._life


@asynccontextmanager
async def serving(key: str) -> AsyncIterator[Served]:
    """A web application from its startup to its shutdown, on a free loopback port."""
    application = WebApplication(cast(Application, django_application))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        server = _Server(application, listener)
        await server.begin()
        try:
            async with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", key) as client:
                yield Served(application, client, server)
        finally:
            await server.end()
            # The thread behind asynchronous queries keeps its connection; the database goes soon.
            await sync_to_async(connections.close_all)()


def client_of(base_url: str, key: str) -> httpx.AsyncClient:
    """A client with a key and without a bound on its connections."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
        timeout=PATIENCE,
        limits=httpx.Limits(max_connections=None),
    )
