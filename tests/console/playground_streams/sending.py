"""What is sent from the playground, and the events that come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from django.contrib.auth.models import User
from django.test import Client

from tests.openai_endpoint.web import Scene, Web

SEND = "/admin/playground/send/"
Event = tuple[str, dict[str, Any]]


@dataclass
class Sent:
    """A person's browser at the web process."""

    web: Web
    person: User
    scene: Scene
    cookies: dict[str, str]

    def form(self, **fields: Any) -> dict[str, Any]:
        """A prompt as the page sends it."""
        return {
            "csrfmiddlewaretoken": self.cookies["csrftoken"],
            "team": self.scene.team.pk,
            "model": "nice",
            "prompt": "Hello.",
            "task_class": "auxiliary_summary",
            **fields,
        }

    @property
    def headers(self) -> dict[str, str]:
        """What a browser adds."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"cookie": cookies}

    async def send(self, **fields: Any) -> list[Event]:
        """Every event of the answer, once it has ended."""
        response = await self.web.client.post(SEND, data=self.form(**fields), headers=self.headers)
        assert response.status_code == 200, response.text
        return events(response.text)

    @asynccontextmanager
    async def sending(self, **fields: Any) -> AsyncIterator[AsyncIterator[Event]]:
        """The events as they come; leaving the block closes the connection."""
        form, headers = self.form(**fields), self.headers
        async with self.web.client.stream("POST", SEND, data=form, headers=headers) as response:
            assert response.status_code == 200
            yield events_of(response)


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    lines: list[str] = []
    async for line in response.aiter_lines():
        if line:
            lines.append(line)
        else:
            for event in events("\n".join(lines) + "\n\n"):
                yield event
            lines = []


def events(text: str) -> list[Event]:
    """The events in a text, without comments."""
    found = []
    for block in text.split("\n\n"):
        name, _, data = block.partition("\ndata: ")
        if name.startswith("event: "):
            found.append((name.removeprefix("event: "), orjson.loads(data)))
    return found


def cookies_of(person: User) -> dict[str, str]:
    browser = Client()
    browser.force_login(person)
    browser.get("/admin/playground/")
    return {name: morsel.value for name, morsel in browser.cookies.items()}
