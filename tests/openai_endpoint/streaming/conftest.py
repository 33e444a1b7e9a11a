"""A stream that the tests lead, and the client that it is sent to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from palyra_site.openai_endpoint import streaming
from palyra_site.openai_endpoint.application import OpenAIEndpoint
from palyra_site.openai_endpoint.replies import Reply
from tests.openai_endpoint.streaming.patience import NO_CALL
from tests.openai_endpoint.streams import ClayClient, LedStream


@pytest.fixture
async def led() -> LedStream:
    return LedStream()


@pytest.fixture
async def client() -> ClayClient:
    return ClayClient()


@pytest.fixture
def opened(led: LedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_stream(_call: Any, **_: Any) -> LedStream:
        return led

    monkeypatch.setattr(streaming, "open_stream", open_stream)


@pytest.fixture
def served(client: ClayClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Serves the client's streamed request through the whole chain but for its beginning."""
    endpoint = OpenAIEndpoint(cast(Any, None), body_limit=1000)

    async def respond(_scope: Any, _receive: Any, reply: Reply) -> None:
        await streaming.respond(NO_CALL, client.request(), reply)

    monkeypatch.setattr(endpoint, "_respond", respond)
    return lambda: endpoint({}, client.receive, client.send)
