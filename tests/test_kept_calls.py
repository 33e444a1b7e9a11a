"""Calls that wait for approval, on the real thing: asked for with a key, decided by a person, made
by a worker, and once only, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.arrangements import TeamWithKey, limit_team, make_team
from tests.support.client import Integration, Person, chat_body
from tests.support.processes import descendants, eventually
from tests.support.records import Call
from tests.support.scene import Scene, start_scene

pytestmark = pytest.mark.processes
KEPT, REPEATED, KILLED = "kept-model", "repeated-model", "killed-model"


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with start_scene(KEPT, REPEATED, KILLED) as scene:
        yield scene


@pytest.fixture(scope="module")
def decider(scene: Scene) -> Person:
    """A second administrator: the first has made the keys that ask, and may not decide on them."""
    password = "a-second-pair-of-eyes"
    subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput"],
        env={
            **scene.palyra.environment,
            "DJANGO_SUPERUSER_USERNAME": "decider",
            "DJANGO_SUPERUSER_EMAIL": "decider@palyra.example",
            "DJANGO_SUPERUSER_PASSWORD": password,
        },
        check=True,
        capture_output=True,
    )
    return Person(scene.palyra.base_url, "decider", password)


def test_a_kept_call_is_made_once_it_is_approved_and_its_answer_fetched(
    scene: Scene, decider: Person
) -> None:
    integration = scene.palyra.integration(_strict_team(scene, "kept").key)
    taken = _asked(integration, KEPT)
    assert _answer(integration, taken)["status"] == "waiting"
    assert scene.upstream.received(KEPT) == []

    decided = _approve(decider, taken)
    answer = _ended(integration, taken)

    assert (decided["status"], decided["requested_by"]) == ("approved", None)
    assert answer["status"] == "succeeded"
    assert answer["error"] is None
    assert answer["answer"]["body"]["choices"][0]["message"]["content"]
    assert len(scene.upstream.received(KEPT)) == 1
    call = _call(scene, KEPT)
    assert (call.id, call.status) == (UUID(taken["call_id"]), "succeeded")
    window = scene.records.window("kept's cost")
    assert (window.consumed, window.held, window.raised_by) == (call.cost, 0, call.cost)
    again = decider.request("POST", f"/approvals/{taken['approval']}/decide", {"approve": True})
    assert again.status_code == 409
    integration.close()


def test_a_refused_call_is_repeated_once_with_what_was_approved(
    scene: Scene, decider: Person
) -> None:
    integration = scene.palyra.integration(_strict_team(scene, "repeated").key)
    refused = integration.chat(REPEATED)
    assert refused.status_code == 402
    error = refused.json()["error"]
    _approve(decider, error)

    given = {"x-palyra-approval": error["approval"]}
    replies = [_chat(integration, REPEATED, given) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 402, 402]
    assert len(scene.upstream.received(REPEATED)) == 1
    integration.close()


def test_a_kept_call_whose_worker_is_killed_is_not_made_again(
    scene: Scene, decider: Person
) -> None:
    integration = scene.palyra.integration(_strict_team(scene, "killed").key)
    taken = _asked(integration, KILLED)
    scene.upstream.hold(KILLED)
    try:
        _approve(decider, taken)
        scene.upstream.wait_for_calls(KILLED, 1)
        _kill_worker_group(scene)
    finally:
        scene.upstream.release(KILLED)

    answer = _ended(integration, taken)

    assert answer["status"] == "unconfirmed"
    assert answer["answer"] is None
    assert (answer["error"]["status"], answer["error"]["code"]) == (502, "unconfirmed")
    assert len(scene.upstream.received(KILLED)) == 1
    call = _call(scene, KILLED)
    window = scene.records.window("killed's cost")
    assert (window.consumed, window.held, window.raised_by) == (call.cost, 0, call.cost)
    integration.close()


def _strict_team(scene: Scene, slug: str) -> TeamWithKey:
    """A team whose budget pays for nothing without approval."""
    team = make_team(scene.administrator, slug)
    limit_team(
        scene.administrator,
        slug,
        metric="cost",
        hard_limit="0.000000001",
        name=f"{slug}'s cost",
        action="approval",
    )
    return team


def _chat(integration: Integration, model: str, headers: dict[str, str]) -> httpx.Response:
    body = chat_body(model)
    return integration.http.post("/v1/chat/completions", json=body, headers=headers)


def _asked(integration: Integration, model: str) -> dict[str, Any]:
    """What is answered to a call that may wait."""
    reply = _chat(integration, model, {"prefer": "respond-async"})
    assert reply.status_code == 202, reply.text
    taken: dict[str, Any] = reply.json()
    return taken


def _approve(decider: Person, asked: dict[str, Any]) -> dict[str, Any]:
    path = f"/approvals/{asked['approval']}/decide"
    decided: dict[str, Any] = decider.post(path, {"approve": True})
    return decided


def _answer(integration: Integration, taken: dict[str, Any]) -> dict[str, Any]:
    reply = integration.http.get(taken["answer_url"])
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def _ended(integration: Integration, taken: dict[str, Any]) -> dict[str, Any]:
    return eventually(
        lambda: _answer(integration, taken),
        lambda answer: answer["ended_at"] is not None,
        what="the call has ended",
    )


def _call(scene: Scene, model: str) -> Call:
    (call,) = scene.records.calls(model=model)
    return call


def _kill_worker_group(scene: Scene) -> None:
    """SIGKILL the worker with everything it forked."""
    found = (pid for pid in descendants(scene.palyra.up.pid) if _is_worker(pid))
    for group in {os.getpgid(pid) for pid in found}:
        os.killpg(group, signal.SIGKILL)


def _is_worker(pid: int) -> bool:
    return b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
