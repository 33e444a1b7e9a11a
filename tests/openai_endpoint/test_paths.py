"""Every path and method below `/v1`, the size of bodies, and what is not ours to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from governance.runtime import Runtime
from palyra_site.asgi import django_application
from palyra_site.openai_endpoint.forms import AUDIO_BODY_LIMIT
from palyra_site.web import Application, WebApplication
from providers.models import ProviderModel
from tests.openai_endpoint.web import HELLO, DirectWeb, Scene, Web, running
from tests.support.factories import make_model, make_provider

# Paths, methods and sizes are no matter of databases: once is enough.
pytestmark = pytest.mark.any_database
PATHS: list[tuple[str, str, int, str | None]] = [
    ("GET", "/v1/models", 200, None),
    ("GET", "/v1/models/", 200, None),
    ("GET", "/v1/models/nice", 200, None),
    ("GET", "/v1/models/nice/", 200, None),
    ("GET", "/v1/models/here/nice", 200, None),
    ("GET", "/v1/models/here%2Fnice", 200, None),
    ("GET", "/v1/models/nobody", 404, "model_not_found"),
    ("GET", "/v1/models/nobody/nice", 404, "model_not_found"),
    ("POST", "/v1/models", 405, "method_not_allowed"),
    ("DELETE", "/v1/models/nice", 405, "method_not_allowed"),
    ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ("OPTIONS", "/v1/chat/completions", 405, "method_not_allowed"),
    ("POST", "/v1/chat/completions/", 400, "invalid_request"),
    ("GET", "/v1", 404, "not_found"),
    ("GET", "/v1/", 404, "not_found"),
    ("POST", "/v1/completions", 404, "not_found"),
    ("POST", "/v1/embeddings", 400, "invalid_request"),
    ("GET", "/v1/embeddings", 405, "method_not_allowed"),
    ("POST", "/v1/audio/transcriptions", 400, "invalid_request"),
    ("PUT", "/v1/audio/transcriptions", 405, "method_not_allowed"),
    ("POST", "/v1/audio/translations", 404, "not_found"),
    ("POST", "/v1/audio", 404, "not_found"),
    ("POST", "/v1/engines/nice/chat/completions", 404, "not_found"),
    ("POST", "/v1/chat/completions/more", 404, "not_found"),
    ("GET", "/v1/modelsandmore", 404, "not_found"),
    ("GET", "/v1//models", 404, "not_found"),
]


async def test_every_path_answers_in_openais_shape(web: Web) -> None:
    for method, path, status, code in PATHS:
        response = await web.client.request(method, path)
        answered = (
            method,
            path,
            response.status_code,
            response.json().get("error", {}).get("code"),
        )
        assert answered == (method, path, status, code)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-request-id"]
        if status == 405:
            assert response.headers["allow"] == ("GET" if "models" in path else "POST")


async def test_models_of_every_role_are_listed_and_found_by_alias(every_role: Scene) -> None:
    rows = ProviderModel.objects.filter(name="vector")
    await rows.aupdate(aliases=["text-embedding-3-small"])
    async with running(every_role.key) as web:
        body = (await web.client.get("/v1/models")).json()
        found = (await web.client.get("/v1/models/text-embedding-3-small")).json()
        scribe = await web.client.get("/v1/models/here/scribe")
    assert [model["id"] for model in body["data"]] == ["nice", "scribe", "vector"]
    assert found == {"id": "vector", "object": "model", "created": 0, "owned_by": "here"}
    assert scribe.json()["id"] == "scribe"


async def test_models_are_listed_by_name_once(scene: Scene) -> None:
    await sync_to_async(_more_models)()
    async with running(scene.key) as web:
        body = (await web.client.get("/v1/models")).json()
        one = (await web.client.get("/v1/models/zebra/nice")).json()
    assert body["object"] == "list"
    assert body["data"] == [
        {"id": "nice", "object": "model", "created": 0, "owned_by": "here"},
        {"id": "other", "object": "model", "created": 0, "owned_by": "zebra"},
    ]
    assert one == {"id": "nice", "object": "model", "created": 0, "owned_by": "zebra"}


def _more_models() -> None:
    zebra = make_provider(name="zebra")
    make_model(provider=zebra, name="other")
    make_model(provider=zebra, name="nice")
    make_model(provider=zebra, name="disabled", enabled=False)
    make_model(provider=make_provider(enabled=False), name="of-a-disabled-provider")


async def test_each_request_has_a_number_of_its_own(web: Web) -> None:
    numbers = {(await web.client.get("/v1/models")).headers["x-request-id"] for _ in range(5)}
    assert len(numbers) == 5


LIMIT = 1000


@pytest.fixture
def small_bodies(settings: Settings, scene: Scene) -> Scene:
    settings.PALYRA_REQUEST_BODY_LIMIT = LIMIT
    return scene


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body whose length nobody was told."""
    for _ in range(size // 100):
        yield b" " * 100


async def test_a_body_declared_too_large_is_not_read(small_bodies: Scene) -> None:
    async with running(small_bodies.key) as web:
        response = await web.client.post("/v1/chat/completions", content=b" " * (LIMIT + 1))
    error = response.json()["error"]
    assert response.status_code == 413
    assert error["code"] == "request_too_large"
    assert "1,000 bytes" in error["message"]


async def test_a_body_that_turns_out_too_large_is_refused(small_bodies: Scene) -> None:
    async with running(small_bodies.key) as web:
        for headers in ({}, *({"content-length": said} for said in ("5", "-1", "many"))):
            response = await web.client.post(
                "/v1/chat/completions", content=in_pieces(10 * LIMIT), headers=headers
            )
            assert response.status_code == 413, headers


async def test_the_largest_body_is_read_in_pieces(small_bodies: Scene) -> None:
    async with running(small_bodies.key) as web:
        response = await web.client.post("/v1/chat/completions", content=in_pieces(LIMIT))
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("The request body is not JSON")


async def test_a_file_may_be_larger_than_other_bodies(small_bodies: Scene) -> None:
    path = "/v1/audio/transcriptions"
    async with running(small_bodies.key) as web:
        taken = await web.client.post(path, files={"file": ("a.wav", b"x" * 50 * LIMIT)})
        refused = await web.client.post(path, content=b"x" * (AUDIO_BODY_LIMIT + 1))
    assert (taken.status_code, taken.json()["error"]["param"]) == (400, "model")
    assert refused.status_code == 413
    assert "27,262,976 bytes" in refused.json()["error"]["message"]


async def test_who_has_no_key_is_not_read_at_all(small_bodies: Scene) -> None:
    read: list[int] = []

    async def watched() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    async with running("ply_no_key") as web:
        response = await web.client.post("/v1/chat/completions", content=watched())
    assert response.status_code == 401
    assert read == []


async def test_a_client_that_goes_away_is_not_answered(scene: Scene, web: Web) -> None:
    pieces = iter(
        [
            {"type": "http.request", "body": b'{"model":', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(pieces)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(b"authorization", f"Bearer {scene.key}".encode())],
    }
    await web.application(scope, receive, send)
    assert sent == []


async def test_everything_else_is_djangos(web: Web) -> None:
    assert (await web.client.get("/livez")).text == "ok\n"
    for path in ("/v1x", "/v2/models", "/v"):
        response = await web.client.get(path)
        assert response.status_code == 404
        assert not response.headers["content-type"].startswith("application/json")


async def test_a_server_that_was_not_started_fails_in_openais_shape(
    caplog: pytest.LogCaptureFixture,
) -> None:
    web = DirectWeb(WebApplication(cast(Application, django_application)), "ply_a_b")
    response = await web.client.post("/v1/chat/completions", json={"messages": HELLO})
    await web.client.aclose()
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "lifespan" in caplog.text


async def test_a_start_that_fails_is_told_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*, role: str) -> Runtime:
        raise RuntimeError(f"no {role} today")

    monkeypatch.setattr(Runtime, "start", fail)
    said: asyncio.Queue[Any] = asyncio.Queue()
    to_application: asyncio.Queue[Any] = asyncio.Queue()
    application = WebApplication(cast(Application, django_application))
    life = asyncio.create_task(application({"type": "lifespan"}, to_application.get, said.put))
    await to_application.put({"type": "lifespan.startup"})
    assert await said.get() == {"type": "lifespan.startup.failed", "message": "no web today"}
    await to_application.put({"type": "lifespan.shutdown"})
    assert (await said.get())["type"] == "lifespan.shutdown.complete"
    await life
