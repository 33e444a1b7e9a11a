"""Bad input over real HTTP: each a clear error, and nothing stored, held or sent to a provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest

from tests.support.arrangements import limit_team, make_team
from tests.support.client import Integration
from tests.support.processes import eventually
from tests.support.scene import Scene, start_scene

pytestmark = pytest.mark.processes
MODEL = "known-model"
JOB = {
    "team": "demo",
    "name": "Bad",
    "schedule_kind": "cron",
    "cron": "0 9 * * 1",
    "zone": "UTC",
    "prompt": "How are the figures?",
    "model": MODEL,
}
POLICY = {
    "name": "Bad",
    "scope": "team",
    "team": "demo",
    "metric": "requests",
    "interval": "month",
    "hard_limit": 10,
}
PROVIDER = {"name": "bad", "kind": "openai_compatible", "base_url": "https://api.example.com/v1"}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with start_scene(MODEL) as scene:
        yield scene


@pytest.fixture
def integration(scene: Scene) -> Iterator[Integration]:
    integration = scene.palyra.integration()
    yield integration
    integration.close()


@contextmanager
def nothing_stored(scene: Scene) -> Iterator[None]:
    """No row more or less in any table, nothing held, and nothing sent to the provider."""
    # A call that was answered before may yet have to be settled.
    eventually(
        lambda: [call for call in scene.records.calls() if call.status == "in_flight"],
        lambda under_way: not under_way,
        what="no call is under way",
    )
    counts, sent = scene.records.counts(), len(scene.upstream.received())
    yield
    assert scene.records.counts() == counts
    assert len(scene.upstream.received()) == sent
    assert scene.records.held() == 0


def assert_openai_error(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    error: dict[str, Any] = reply.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["code"] == code
    assert error["message"].endswith((".", "?", "!"))
    return error


def assert_problem(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/problem+json")
    problem: dict[str, Any] = reply.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_an_unknown_model_is_404_in_openais_shape(scene: Scene, integration: Integration) -> None:
    with nothing_stored(scene):
        error = assert_openai_error(integration.chat("no-such-model"), 404, "model_not_found")
    assert error["type"] == "invalid_request_error"
    assert error["param"] == "model"
    assert "no-such-model" in error["message"]


@pytest.mark.parametrize("content", [b"{", b"", b"[1, 2", b'{"model": NaN}', b"\xff\xfe"])
def test_malformed_json_is_400_at_the_openai_endpoint(
    scene: Scene, integration: Integration, content: bytes
) -> None:
    with nothing_stored(scene):
        reply = integration.http.post("/v1/chat/completions", content=content)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert "JSON" in reply.json()["error"]["message"]


def test_malformed_json_is_400_at_the_json_api(scene: Scene, integration: Integration) -> None:
    with nothing_stored(scene):
        reply = integration.http.post(
            "/api/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}
        )
    assert_problem(reply, 400)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"),
        ("sk-not-ours", "invalid_api_key"),
        ("ply_0000000000000000_00", "invalid_api_key"),
        ("ply__", "invalid_api_key"),
    ],
)
def test_a_missing_or_unknown_key_is_401(scene: Scene, key: str | None, code: str) -> None:
    stranger = Integration(scene.palyra.base_url, key)
    with nothing_stored(scene):
        call = stranger.chat(MODEL)
        listed = stranger.http.get("/v1/models")
        jobs = stranger.get("/jobs")
    for reply in (call, listed):
        assert_openai_error(reply, 401, code)
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert_problem(jobs, 401)
    assert jobs.headers["www-authenticate"].startswith("Bearer")
    stranger.close()


def test_a_revoked_key_is_401_within_moments(scene: Scene) -> None:
    made = scene.administrator.post("/keys", {"team": "demo", "name": "To be revoked"})
    holder = scene.palyra.integration(made["key"])
    eventually(
        lambda: holder.http.get("/v1/models").status_code, lambda code: code == 200, what="usable"
    )
    scene.administrator.delete(f"/keys/{made['id']}")
    eventually(
        lambda: holder.http.get("/v1/models").status_code, lambda code: code == 401, what="refused"
    )
    with nothing_stored(scene):
        error = assert_openai_error(holder.chat(MODEL), 401, "invalid_api_key")
        assert_problem(holder.get("/jobs"), 401)
    assert made["key"] not in error["message"]
    holder.close()


def bad_job(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "/jobs", {**JOB, **fields}


def bad_policy(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "/policies", {**POLICY, **fields}


def bad_provider(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "/providers", {**PROVIDER, **fields}


YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        pytest.param(bad_job(cron="0 0 9 * * 1"), {"cron"}, id="a cron expression of six fields"),
        pytest.param(bad_job(zone="Mars/Olympus"), {"zone"}, id="an unknown zone"),
        pytest.param(
            bad_job(schedule_kind="at", cron="", at=YESTERDAY), {"at"}, id="an at in the past"
        ),
        pytest.param(
            bad_job(cron="0 0 9 * * 1", zone="Mars/Olympus", prompt=""),
            {"cron", "zone", "prompt"},
            id="three faults, all told at once",
        ),
        pytest.param(bad_provider(base_url="ftp://example.com"), {"base_url"}, id="ftp"),
        pytest.param(bad_provider(base_url="javascript:alert(1)"), {"base_url"}, id="javascript"),
        pytest.param(bad_provider(base_url="api.example.com/v1"), {"base_url"}, id="no scheme"),
        pytest.param(bad_provider(base_url=""), {"base_url"}, id="no address"),
        pytest.param(bad_policy(hard_limit=-1), {"hard_limit"}, id="a negative limit"),
        pytest.param(
            bad_policy(soft_limit=11, hard_limit=10), {"soft_limit"}, id="soft above hard"
        ),
    ],
)
def test_a_fault_is_422_and_names_the_field(
    scene: Scene, request_: tuple[str, dict[str, Any]], fields: set[str]
) -> None:
    path, body = request_
    with nothing_stored(scene):
        problem = assert_problem(scene.administrator.request("POST", path, body), 422)
    assert {fault["field"] for fault in problem["errors"]} == fields
    assert all(fault["message"].endswith((".", "?")) for fault in problem["errors"])


def test_a_team_key_is_told_the_same_of_a_bad_schedule(
    scene: Scene, integration: Integration
) -> None:
    body = {**JOB, "cron": "0 0 9 * * 1"}
    with nothing_stored(scene):
        problem = assert_problem(integration.post("/jobs", body), 422)
    assert [fault["field"] for fault in problem["errors"]] == ["cron"]


def test_the_official_client_calls_and_lists(scene: Scene) -> None:
    with official_client(scene, scene.palyra.key) as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say something."}], max_tokens=40
        )
        names = [model.id for model in client.models.list()]
    assert answer.model == MODEL
    assert (answer.choices[0].message.content or "").startswith("upstream answer")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 40
    assert MODEL in names


def test_the_official_client_raises_what_it_should(scene: Scene) -> None:
    with nothing_stored(scene), official_client(scene, scene.palyra.key) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            ask(client, "no-such-model")
        with pytest.raises(openai.AuthenticationError):
            ask(client.with_options(api_key="ply_0_0"), MODEL)
    assert unknown.value.code == "model_not_found"


def test_the_official_client_does_not_retry_a_budget_refusal(scene: Scene) -> None:
    team = make_team(scene.administrator, "penniless")
    limit_team(scene.administrator, "penniless", metric="requests", hard_limit=0, name="Nothing")
    sent = len(scene.upstream.received())
    with official_client(scene, team.key) as client, pytest.raises(openai.APIStatusError) as raised:
        ask(client, MODEL)
    assert raised.value.status_code == 402
    assert raised.value.code == "budget_exceeded"
    blocked = [call for call in scene.records.calls() if call.status == "blocked"]
    assert len(blocked) == 1
    assert len(scene.upstream.received()) == sent


def official_client(scene: Scene, key: str) -> openai.OpenAI:
    """The official client as it comes, with its two retries."""
    return openai.OpenAI(api_key=key, base_url=f"{scene.palyra.base_url}/v1")


def ask(client: openai.OpenAI, model: str) -> None:
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello."}])
