"""The web process's application in this process: started and stopped as a server would do it."""

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

from governance import keys
from governance.models import BudgetPolicy, ModelCall, Team
from palyra_site.asgi import django_application
from palyra_site.web import Application, WebApplication
from providers.models import ModelRole, ProviderModel
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

HELLO = [{"role": "user", "content": "Hello."}]


@dataclass(frozen=True, slots=True)
class Scene:
    """A team with a key, a priced model and a budget with plenty of room."""

    team: Team
    key: str
    key_id: int
    model: ProviderModel
    policy: BudgetPolicy


def make_scene() -> Scene:
    """Make the rows of a scene."""
    team = make_team(slug="blue")
    made = keys.create(team=team, name="The tests'")
    model = make_model(provider=make_provider(name="here"), name="nice", max_output_tokens=100)
    make_price(model)
    policy = make_policy(name="Monthly", hard_limit=10**9)
    return Scene(team, made.text, made.record.pk, model, policy)


def make_other_roles(scene: Scene) -> None:
    """Beside the scene's model, `vector` for embeddings and `scribe` for transcriptions."""
    for name, role in (("vector", ModelRole.EMBEDDINGS), ("scribe", ModelRole.AUDIO_TRANSCRIPTION)):
        make_price(make_model(provider=scene.model.provider, name=name, role=role))


class Web:
    """A running web application and a client that holds the scene's key."""

    def __init__(self, application: WebApplication, client: httpx.AsyncClient) -> None:
        self.application = application
        self.client = client

    async def stop(self) -> None:
        """End it, as often as wanted: every pending settlement is written."""
        raise NotImplementedError

    async def chat(self, **body: Any) -> httpx.Response:
        """Ask the scene's model to answer."""
        return await self.client.post("/v1/chat/completions", json=self.asked(**body))

    def asked(self, **body: Any) -> dict[str, Any]:
        """A question to the scene's model."""
        return {"model": "nice", "messages": HELLO, **body}

    async def call(self) -> ModelCall:
        """The only row of the ledger, with everything settled: this stops the application."""
        await self.stop()
        return await ModelCall.objects.aget()


class DirectWeb(Web):
    """One that is called without a network; an answer is whole before its client sees of it."""

    def __init__(self, application: WebApplication, key: str) -> None:
        transport = httpx.ASGITransport(cast(Any, application))
        super().__init__(application, _client(key, "http://localhost", transport=transport))
        self._to_application: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_application: asyncio.Queue[Any] = asyncio.Queue()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Send the startup event and wait until it was answered; it must be a success."""
        self._life = asyncio.create_task(
            self.application(
                {"type": "lifespan"}, self._to_application.get, self._from_application.put
            )
        )
        await self._say("startup")

    async def stop(self) -> None:
        """Send the shutdown event, as often as wanted: every pending settlement is written."""
        if self._life is not None and not self._life.done():
            await self._say("shutdown")
            await self._life

    async def _say(self, event: str) -> None:
        await self._to_application.put({"type": f"lifespan.{event}"})
        answer = await self._from_application.get()
        assert answer["type"] == f"lifespan.{event}.complete", answer


class ServedWeb(Web):
    """One behind a real server on a loopback port: streams come as they are sent."""

    def __init__(self, application: WebApplication, key: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        super().__init__(application, _client(key, self.url, trust_env=False))
        self._server = uvicorn.Server(
            uvicorn.Config(
                cast(Any, application),
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve, and wait until that has begun."""
        self._serving = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            assert not self._serving.done(), self._serving
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def _client(key: str, base_url: str, **options: Any) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, **options)


@asynccontextmanager
async def running(key: str) -> AsyncIterator[DirectWeb]:
    """A web application from its startup to its shutdown."""
    web = DirectWeb(WebApplication(cast(Application, django_application)), key)
    async with _until_the_end(web):
        yield web


@asynccontextmanager
async def serving(key: str) -> AsyncIterator[ServedWeb]:
    """The same behind a real server."""
    web = ServedWeb(WebApplication(cast(Application, django_application)), key)
    async with _until_the_end(web):
        yield web


@asynccontextmanager
async def _until_the_end(web: DirectWeb | ServedWeb) -> AsyncIterator[None]:
    await web.start()
    try:
        yield
    finally:
        await web.client.aclose()
        await web.stop()
        # The thread behind asynchronous queries keeps its connection; the database is dropped soon.
        await sync_to_async(connections.close_all)()
