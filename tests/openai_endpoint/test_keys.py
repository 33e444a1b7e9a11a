"""Whose key it is: every way a key can be no good, and how soon a new one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, Team
from tests.openai_endpoint.web import Scene, Web

PATIENCE = 30.0


async def elsewhere(change: Callable[[], Any]) -> Any:
    """Make `change` on a thread and a connection of its own."""

    def run() -> Any:
        try:
            return change()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def refused(web: Web, authorization: str | None) -> dict[str, Any]:
    """The error of a 401, which always says how to sign in."""
    web.client.headers.pop("authorization", None)
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    response = await web.client.get("/v1/models", headers=headers)
    assert response.status_code == 401, authorization
    assert response.headers["www-authenticate"] == 'Bearer realm="palyra"'
    assert response.headers["x-should-retry"] == "false"
    error: dict[str, Any] = response.json()["error"]
    assert (error["type"], error["param"]) == ("authentication_error", None)
    return error


async def test_without_a_key_the_answer_says_where_it_goes(web: Web) -> None:
    for authorization in (None, "", "Basic dTpw", "ply_a_b", "Bearer"):
        error = await refused(web, authorization)
        assert error["code"] == "missing_api_key"
        assert "Authorization: Bearer ply_…" in error["message"]


async def test_what_is_no_key_is_refused(web: Web) -> None:
    for key in ("nonsense", "sk-an-openai-key", "ply_", "ply_unknown_secret", "ply_ÿ_ÿ", "ply__"):
        assert (await refused(web, f"Bearer {key}"))["code"] == "invalid_api_key"


async def test_another_secret_is_refused(scene: Scene, web: Web) -> None:
    error = await refused(web, f"Bearer {scene.key[:-1]}x")
    assert (error["code"], error["message"]) == (
        "invalid_api_key",
        "This is not a key of this Palyra.",
    )


async def test_what_is_stored_of_a_key_is_no_key(scene: Scene, web: Web) -> None:
    row = await ApiKey.objects.aget()
    await refused(web, f"Bearer ply_{row.public_id}_{row.secret_hash}")


async def test_the_scheme_may_be_written_as_one_likes(scene: Scene, web: Web) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
        headers = {"authorization": f"{scheme} {scene.key} "}
        response = await web.client.get("/v1/models", headers=headers)
        assert response.status_code == 200, scheme


async def test_a_key_works_the_moment_it_is_made(scene: Scene, web: Web) -> None:
    for number in range(5):
        made = await elsewhere(partial(keys.create, team=scene.team, name=f"key {number}"))
        headers = {"authorization": f"Bearer {made.text}"}
        assert (await web.client.get("/v1/models", headers=headers)).status_code == 200


async def refused_after(scene: Scene, web: Web, change: Callable[[], Any]) -> str:
    """What a good key is told once `change` was made and the process has looked again."""
    assert (await web.client.get("/v1/models")).status_code == 200
    await elsewhere(change)
    await asyncio.to_thread(web.application.runtime.keeper.refresh)
    error = await refused(web, f"Bearer {scene.key}")
    assert error["code"] == "invalid_api_key"
    return str(error["message"])


async def test_a_revoked_key_is_refused(scene: Scene, web: Web) -> None:
    said = await refused_after(scene, web, lambda: keys.revoke(ApiKey.objects.get()))
    assert said == "This key was revoked; ask your team for another."


async def test_an_expired_key_is_refused(scene: Scene, web: Web) -> None:
    a_moment_ago = timezone.now() - timedelta(seconds=1)
    said = await refused_after(scene, web, lambda: ApiKey.objects.update(expires_at=a_moment_ago))
    assert said == "This key has expired; ask your team for another."


async def test_a_key_that_has_yet_to_expire_is_good(scene: Scene, web: Web) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    await sync_to_async(ApiKey.objects.update)(expires_at=tomorrow)
    await asyncio.to_thread(web.application.runtime.keeper.refresh)
    assert (await web.client.get("/v1/models")).status_code == 200


async def test_a_disabled_teams_key_is_refused(scene: Scene, web: Web) -> None:
    said = await refused_after(scene, web, lambda: Team.objects.update(enabled=False))
    assert said == "This key's team is disabled."


async def test_a_deleted_key_is_unknown(scene: Scene, web: Web) -> None:
    said = await refused_after(scene, web, lambda: ApiKey.objects.all().delete())
    assert said == "This is not a key of this Palyra."


async def test_with_a_wrong_secret_nothing_is_said_of_the_key(scene: Scene, web: Web) -> None:
    await elsewhere(lambda: keys.revoke(ApiKey.objects.get()))
    await asyncio.to_thread(web.application.runtime.keeper.refresh)
    error = await refused(web, f"Bearer {scene.key}x")
    assert error["message"] == "This is not a key of this Palyra."


async def test_many_unknown_keys_do_not_stop_a_good_one(scene: Scene, web: Web) -> None:
    async def ask(key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        return (await web.client.get("/v1/models", headers=headers)).status_code

    async with asyncio.timeout(PATIENCE):
        strangers = [asyncio.create_task(ask(f"ply_unknown{n}_secret")) for n in range(50)]
        assert await ask(scene.key) == 200
        assert set(await asyncio.gather(*strangers)) == {401}


async def test_while_the_database_is_away_an_unknown_key_is_not_called_wrong(
    scene: Scene, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise OperationalError("the database is away")

    monkeypatch.setattr("providers.versioned.current_version", away)
    headers = {"authorization": "Bearer ply_new_secret"}
    response = await web.client.get("/v1/models", headers=headers)
    assert response.status_code == 503
    assert "x-should-retry" not in response.headers
    assert response.headers["retry-after"] == "1"
    # A key that is known goes on working.
    assert (await web.client.get("/v1/models")).status_code == 200
