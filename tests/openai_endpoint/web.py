"""The web process's application in this process: started and stopped as a server would do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
from asgiref.sync import sync_to_async
from django.db import connections

from governance import keys
from governance.models import BudgetPolicy, ModelCall, Team
from palyra_site.asgi import django_application
from palyra_site.web import Application, WebApplication
from providers.models import ProviderModel
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


class Web:
    """A running web application and a client that holds the scene's key."""

    def __init__(self, application: WebApplication, key: str) -> None:
        self.application = application
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, application)),
            base_url="http://palyra.test",
            headers={"authorization": f"Bearer {key}"},
        )
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

    async def chat(self, **body: Any) -> httpx.Response:
        """Ask the scene's model to answer."""
        asked = {"model": "nice", "messages": HELLO, **body}
        return await self.client.post("/v1/chat/completions", json=asked)

    async def call(self) -> ModelCall:
        """The only row of the ledger, with everything settled: this stops the application."""
        await self.stop()
        return await ModelCall.objects.aget()


@asynccontextmanager
async def running(key: str) -> AsyncIterator[Web]:
    """A web application from its startup to its shutdown."""
    web = Web(WebApplication(cast(Application, django_application)), key)
    await web.start()
    try:
        yield web
    finally:
        await web.client.aclose()
        await web.stop()
        # The thread behind asynchronous queries keeps its connection; the database is dropped soon.
        await sync_to_async(connections.close_all)()
