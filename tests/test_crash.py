"""Processes that die in the middle of a call: what was held is let go, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support.arrangements import TeamWithKey, limit_team, make_team, schedule
from tests.support.client import Integration, chat_body
from tests.support.faults import Behaviour, Fault
from tests.support.palyra import wait_until_ready
from tests.support.processes import descendants, eventually
from tests.support.records import Call, Run
from tests.support.scene import Scene, start_scene

pytestmark = pytest.mark.processes
KILLED, ENDED, OUTLASTED = "killed-model", "ended-model", "outlasted-model"
STREAMED = "streamed-model"
ABANDONED, DARK = "abandoned-model", "dark-model"
SCHEDULED, AFTERWARDS = "scheduled-model", "afterwards-model"


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    models = (KILLED, STREAMED, ENDED, OUTLASTED, ABANDONED, DARK, SCHEDULED, AFTERWARDS)
    with start_scene(*models) as scene:
        yield scene


def test_a_call_cut_off_by_kill_9_is_unconfirmed_and_its_hold_released(scene: Scene) -> None:
    team = _limited_team(scene, "killed")
    with _call_in_the_upstream(scene, team, KILLED) as answer:
        (in_flight,) = scene.records.calls(model=KILLED)
        assert in_flight.status == "in_flight"
        assert scene.records.window("killed's cost").held == in_flight.hold("cost") > 0

        _signal_web(scene, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            answer.result()
        scene.palyra.up.wait_for_line(r"web was killed by SIGKILL.* started again")
        call = _settled(scene, KILLED)

    assert call.id == in_flight.id
    assert call.status == "unconfirmed"
    assert not call.usage_reported
    _assert_charged_what_was_expected(scene, call, "killed's cost")
    assert len(scene.upstream.received(KILLED)) == 1
    _assert_serves_again(scene, team)


def test_a_stream_cut_off_by_kill_9_is_unconfirmed_and_its_provider_told(scene: Scene) -> None:
    team = _limited_team(scene, "streamed")
    scene.upstream.behave(STREAMED, Behaviour(fault=Fault.HANGS_IN_BODY, after=2))
    integration = scene.palyra.integration(team.key)
    body = chat_body(STREAMED, stream=True)
    with integration.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert any("answer" in line for line in lines)
        (in_flight,) = scene.records.calls(model=STREAMED)
        assert in_flight.status == "in_flight"

        _signal_web(scene, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            list(lines)
    scene.upstream.wait_for_disconnects(STREAMED, 1)
    call = _settled(scene, STREAMED)

    assert (call.id, call.status) == (in_flight.id, "unconfirmed")
    _assert_charged_what_was_expected(scene, call, "streamed's cost")
    assert len(scene.upstream.received(STREAMED)) == 1
    integration.close()
    _assert_serves_again(scene, team)


def test_a_call_in_hand_is_answered_before_the_web_process_ends(scene: Scene) -> None:
    team = _limited_team(scene, "ended")
    with _call_in_the_upstream(scene, team, ENDED) as answer:
        _signal_web(scene, signal.SIGTERM)
        eventually(lambda: _accepts(scene), lambda yes: not yes, what="no new call is taken")
        scene.upstream.release(ENDED)
        reply = answer.result()
        call = _settled(scene, ENDED)

    assert reply.status_code == 200
    assert call.status == "succeeded"
    assert call.usage_reported
    assert scene.records.window("ended's cost").consumed == call.cost
    _assert_serves_again(scene, team)


def test_a_call_that_outlasts_the_web_process_is_settled_by_it(scene: Scene) -> None:
    team = _limited_team(scene, "outlasted")
    with _call_in_the_upstream(scene, team, OUTLASTED) as answer:
        _signal_web(scene, signal.SIGTERM)
        reply = answer.result()
        call = _settled(scene, OUTLASTED)

    # The provider may bill it, so the client is not to try again by itself.
    assert reply.status_code == 503
    assert reply.headers["x-should-retry"] == "false"
    assert reply.json()["error"]["type"] == "server_error"
    assert call.status == "cancelled"
    assert "expected cost" in call.error
    _assert_charged_what_was_expected(scene, call, "outlasted's cost")
    _assert_serves_again(scene, team)


def test_a_call_whose_client_went_away_is_settled_all_the_same(scene: Scene) -> None:
    team = _limited_team(scene, "abandoned")
    scene.upstream.hold(ABANDONED)
    client = HTTPConnection("127.0.0.1", scene.palyra.port)
    client.request(
        "POST",
        "/v1/chat/completions",
        body=json.dumps(chat_body(ABANDONED)),
        headers={"Authorization": f"Bearer {team.key}"},
    )
    scene.upstream.wait_for_calls(ABANDONED, 1)
    client.close()
    scene.upstream.release(ABANDONED)
    call = _settled(scene, ABANDONED)

    # Whether the call was let go on or cut off, it is charged and nothing stays held.
    assert call.status in {"succeeded", "cancelled"}
    window = scene.records.window("abandoned's cost")
    assert (window.consumed, window.held) == (call.cost, 0)
    assert window.consumed > 0


def test_a_call_survives_the_end_of_everything_as_unconfirmed(scene: Scene) -> None:
    team = _limited_team(scene, "dark")
    with _call_in_the_upstream(scene, team, DARK) as answer:
        scene.palyra.kill_everything()
        with pytest.raises(httpx.TransportError):
            answer.result()
        (in_flight,) = scene.records.calls(model=DARK)
        assert scene.records.window("dark's cost").held == in_flight.hold("cost") > 0

        scene.palyra.start()
        call = _settled(scene, DARK)

    assert call.status == "unconfirmed"
    _assert_charged_what_was_expected(scene, call, "dark's cost")
    _assert_serves_again(scene, team)


def test_a_run_cut_off_with_its_worker_is_shown_and_later_ones_go_on(scene: Scene) -> None:
    _limited_team(scene, "steady")
    scene.upstream.hold(SCHEDULED)
    job = schedule(
        scene.administrator,
        "steady",
        name="Every two seconds",
        schedule_kind="every",
        every_seconds=2,
        prompt="How are the figures?",
        model=SCHEDULED,
    )
    scene.upstream.wait_for_calls(SCHEDULED, 1)
    (cut_off,) = [run for run in scene.records.runs(job) if run.status == "running"]

    _kill_worker_group(scene)
    scene.upstream.release(SCHEDULED)
    ended = eventually(
        lambda: _run(scene, job, cut_off.id),
        lambda run: run.status not in {"queued", "running"},
        what="the run that was cut off has ended",
    )
    later = eventually(
        lambda: _succeeded_after(scene, job, cut_off),
        lambda runs: len(runs) >= 2,
        what="later runs succeed",
    )
    scene.administrator.post(f"/jobs/{job}/pause", {"reason": "Seen enough."})
    eventually(scene.records.held, lambda held: held == 0, what="nothing is held")

    assert ended.status == "unconfirmed"
    assert ended.reason
    assert {(run.slot - cut_off.slot) % timedelta(seconds=2) for run in later} == {timedelta()}
    calls = {call.run_id: call for call in scene.records.calls(model=SCHEDULED)}
    assert calls[cut_off.id].status == "unconfirmed"
    assert all(calls[run.id].status == "succeeded" for run in later)
    consumed = scene.records.window("steady's cost").consumed
    assert consumed == sum(call.cost or 0 for call in calls.values())


def _limited_team(scene: Scene, slug: str) -> TeamWithKey:
    wait_until_ready(scene.palyra.base_url)
    team = make_team(scene.administrator, slug)
    limit_team(scene.administrator, slug, metric="cost", hard_limit="1.00", name=f"{slug}'s cost")
    return team


@contextmanager
def _call_in_the_upstream(
    scene: Scene, team: TeamWithKey, model: str
) -> Iterator[Future[httpx.Response]]:
    """A call that has reached the upstream and waits there."""
    scene.upstream.hold(model)
    integration = scene.palyra.integration(team.key)
    with ThreadPoolExecutor(1) as pool:
        try:
            answer = pool.submit(integration.chat, model, max_tokens=60)
            scene.upstream.wait_for_calls(model, 1)
            yield answer
        finally:
            scene.upstream.release(model)
            integration.close()


def _signal_web(scene: Scene, number: signal.Signals) -> None:
    os.kill(scene.palyra.process_id("web"), number)


def _accepts(scene: Scene) -> bool:
    """Whether the web process takes new connections."""
    try:
        return httpx.get(f"{scene.palyra.base_url}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _settled(scene: Scene, model: str) -> Call:
    """The only call of a model, once it is no longer in flight and nothing is held."""
    (call,) = eventually(
        lambda: scene.records.calls(model=model),
        lambda calls: all(call.status != "in_flight" for call in calls),
        what="the call is settled",
    )
    assert scene.records.held() == 0
    return call


def _assert_charged_what_was_expected(scene: Scene, call: Call, policy: str) -> None:
    assert call.cost is not None
    assert call.cost == call.estimate_expected
    assert 0 < call.cost <= (call.estimate_upper or 0)
    window = scene.records.window(policy)
    assert (window.consumed, window.held) == (call.cost, 0)


def _assert_serves_again(scene: Scene, team: TeamWithKey) -> None:
    wait_until_ready(scene.palyra.base_url)
    integration: Integration = scene.palyra.integration(team.key)
    assert integration.chat(AFTERWARDS).status_code == 200
    integration.close()


def _kill_worker_group(scene: Scene) -> None:
    """SIGKILL the worker with everything it forked, as a machine that runs out of memory might."""
    up = scene.palyra.up.pid
    groups = {os.getpgid(pid) for pid in descendants(up) if _runs(pid, "worker")}
    assert groups
    assert os.getpgid(up) not in groups, "the worker is in the group of `up`"
    for group in groups:
        os.killpg(group, signal.SIGKILL)


def _runs(pid: int, command: str) -> bool:
    """Whether a process was started as `manage.py <command>`."""
    return command.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def _run(scene: Scene, job: UUID, number: UUID) -> Run:
    return next(run for run in scene.records.runs(job) if run.id == number)


def _succeeded_after(scene: Scene, job: UUID, earlier: Run) -> list[Run]:
    return [
        run
        for run in scene.records.runs(job)
        if run.status == "succeeded" and run.slot > earlier.slot
    ]
