"""The main job, on the real thing: started as `make run` does, with a provider that is a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.arrangements import (
    CREDENTIAL,
    LARGEST_ANSWER,
    OUTPUT_NANO_DOLLARS,
    TeamWithKey,
    cost_of,
    limit_team,
    make_team,
    schedule,
)
from tests.support.client import PATIENCE, Person, chat_body
from tests.support.completions import Behaviour, answer_text, usage_of
from tests.support.processes import eventually
from tests.support.records import Call, Run
from tests.support.sampler import WindowSampler
from tests.support.scene import Scene, start_scene
from tests.support.upstream import Received

pytestmark = pytest.mark.processes
SCHEDULED, COUNTED, PRICED = "scheduled-model", "counted-model", "priced-model"
ACTIVE = {"queued", "running"}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with start_scene(SCHEDULED, COUNTED, PRICED) as scene:
        yield scene


def test_a_scheduled_prompt_runs_on_time_and_is_accounted_for(scene: Scene) -> None:
    records, administrator = scene.records, scene.administrator
    make_team(administrator, "rhythm")
    limit_team(administrator, "rhythm", metric="cost", hard_limit="5.00", name="Rhythm's cost")
    job = schedule(
        administrator,
        "rhythm",
        name="Every two seconds",
        schedule_kind="every",
        every_seconds=2,
        prompt="How are the figures?",
        model=SCHEDULED,
        max_output_tokens=50,
    )

    eventually(lambda: _succeeded(records.runs(job)), lambda runs: len(runs) >= 3, what="3 runs")
    administrator.post(f"/jobs/{job}/pause", {"reason": "Seen enough."})
    runs = eventually(lambda: records.runs(job), _at_rest, what="the last run has ended")
    eventually(records.held, lambda held: held == 0, what="nothing is held")

    succeeded = _succeeded(runs)
    _assert_on_the_beat([run.slot for run in runs], timedelta(seconds=2))
    calls = {call.run_id: call for call in records.calls(model=SCHEDULED)}
    assert len(calls) == len(scene.upstream.received(SCHEDULED)) == len(succeeded)
    for run, request in zip(succeeded, scene.upstream.received(SCHEDULED), strict=True):
        _assert_run_shows_its_call(run, calls[run.id], request, job)
    consumed = records.window("Rhythm's cost").consumed
    assert consumed == sum(run.cost or 0 for run in runs) == sum(map(_cost, calls.values())) > 0
    _assert_shown_by_the_api(administrator, job, succeeded)


def _succeeded(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.status == "succeeded"]


def _at_rest(runs: Sequence[Run]) -> bool:
    return not any(run.status in ACTIVE for run in runs)


def _cost(call: Call) -> int:
    assert call.cost is not None
    return call.cost


def _assert_on_the_beat(slots: list[datetime], interval: timedelta) -> None:
    assert len(set(slots)) == len(slots)
    assert {(slot - slots[0]) % interval for slot in slots} == {timedelta()}


def _assert_run_shows_its_call(run: Run, call: Call, request: Received, job: UUID) -> None:
    usage = usage_of(request.body, Behaviour())
    assert (call.status, call.job_id, run.call_id) == ("succeeded", job, call.id)
    assert run.output == answer_text(request.body, usage)
    assert (run.input_tokens, run.output_tokens) == (usage.prompt, usage.completion)
    assert (call.uncached_input_tokens, call.output_tokens) == (usage.prompt, usage.completion)
    assert call.usage_reported
    assert run.cost == call.cost == cost_of(usage.prompt, usage.completion)
    assert request.headers["authorization"] == f"Bearer {CREDENTIAL}"
    assert request.output_cap == 50


def _assert_shown_by_the_api(administrator: Person, job: UUID, runs: list[Run]) -> None:
    shown = {UUID(run["id"]): run for run in administrator.get(f"/jobs/{job}/runs")["items"]}
    for run in runs:
        assert run.cost is not None
        assert shown[run.id]["output"] == run.output
        assert Decimal(shown[run.id]["cost"]) == Decimal(run.cost).scaleb(-9)
        assert datetime.fromisoformat(shown[run.id]["slot"]) == run.slot


def test_of_100_calls_at_once_a_limit_of_37_lets_exactly_37_through(scene: Scene) -> None:
    team = make_team(scene.administrator, "crowd")
    limit_team(scene.administrator, "crowd", metric="requests", hard_limit=37, name="37 requests")
    scene.upstream.hold(COUNTED)

    replies = asyncio.run(_crowd(scene, team))

    accepted = [reply for reply in replies if reply.status_code == 200]
    refused = [reply for reply in replies if reply.status_code == 402]
    assert (len(accepted), len(refused)) == (37, 63)
    for reply in refused:
        _assert_refused_by_37_requests(reply)
    assert len(scene.upstream.received(COUNTED)) == 37
    window = eventually(
        lambda: scene.records.window("37 requests"),
        lambda window: window.held == 0,
        what="nothing is held",
    )
    assert window.consumed == 37
    statuses = [call.status for call in scene.records.calls(model=COUNTED)]
    assert (statuses.count("succeeded"), statuses.count("blocked")) == (37, 63)


async def _crowd(scene: Scene, team: TeamWithKey) -> list[httpx.Response]:
    """100 calls together; those let through are kept in the upstream until the rest is refused."""
    async with _client(scene.palyra.base_url, team.key) as client:
        calls = [asyncio.create_task(_call(client, COUNTED, f"{n}")) for n in range(100)]
        try:
            await _first(63, calls)
            await asyncio.to_thread(scene.upstream.wait_for_calls, COUNTED, 37)
            held = scene.records.window("37 requests")
            assert (held.consumed, held.held) == (0, 37)
        finally:
            scene.upstream.release(COUNTED)
        return await asyncio.gather(*calls)


async def _first(count: int, calls: Sequence[asyncio.Task[httpx.Response]]) -> None:
    """Return when `count` calls are answered."""
    async with asyncio.timeout(PATIENCE):
        for number, call in enumerate(asyncio.as_completed(calls), start=1):
            await call
            if number == count:
                return


def _assert_refused_by_37_requests(reply: httpx.Response) -> None:
    error = reply.json()["error"]
    assert reply.headers["x-should-retry"] == "false"
    assert (error["type"], error["code"], error["param"]) == (
        "budget_error",
        "budget_exceeded",
        None,
    )
    assert "37 requests" in error["message"]
    assert (error["policy"], error["scope"], error["metric"]) == ("37 requests", "team", "requests")
    assert (error["limit"], error["consumed"], error["held"]) == ("37", "0", "37")
    assert error["requested"] == "1"
    resets_at = datetime.fromisoformat(error["resets_at"])
    assert resets_at.utcoffset() == timedelta()
    assert (resets_at.day, resets_at.hour, resets_at.minute) == (1, 0, 0)
    UUID(error["call_id"])


def test_200_calls_from_two_processes_never_pass_a_small_cost_limit(scene: Scene) -> None:
    team = make_team(scene.administrator, "pair")
    limit_team(scene.administrator, "pair", metric="cost", hard_limit="0.006", name="Small cost")
    scene.upstream.behave(PRICED, Behaviour(latency=0.02))
    records = scene.records
    addresses = (scene.palyra.base_url, scene.palyra.second_web())

    with WindowSampler(records, "Small cost") as sampler:
        replies = asyncio.run(_from_both(addresses, team))
        final = eventually(
            lambda: records.window("Small cost"), lambda window: window.held == 0, what="settled"
        )

    accepted = [reply for reply in replies if reply.status_code == 200]
    refused = [reply for reply in replies if reply.status_code == 402]
    assert len(accepted) + len(refused) == 200
    assert accepted and refused
    _assert_witnessed(sampler)
    for reply in refused:
        _assert_did_not_fit(reply)
    calls = {call.id: call for call in records.calls(model=PRICED)}
    settled = [call for call in calls.values() if call.status == "succeeded"]
    assert len(settled) == len(accepted) == len(scene.upstream.received(PRICED))
    assert final.consumed == sum(map(_cost, settled)) <= final.limit
    _assert_every_cap_was_paid_for(accepted, calls, scene.upstream.received(PRICED))


async def _from_both(addresses: tuple[str, str], team: TeamWithKey) -> list[httpx.Response]:
    """200 calls of different sizes, 20 at a time at each address."""
    halves = await asyncio.gather(
        *(_stream_of_calls(address, team.key, half) for half, address in enumerate(addresses))
    )
    return [reply for half in halves for reply in half]


async def _stream_of_calls(address: str, key: str, half: int) -> list[httpx.Response]:
    turns = asyncio.Semaphore(20)

    async def take_turn(client: httpx.AsyncClient, number: int) -> httpx.Response:
        # Every fourth call names no cap of its own, so that the model's is held for.
        more = {} if number % 4 == 0 else {"max_tokens": 10 + number}
        async with turns:
            return await _call(client, PRICED, f"Call {number} of half {half}.", **more)

    async with _client(address, key) as client:
        return await asyncio.gather(*(take_turn(client, number) for number in range(100)))


def _assert_witnessed(sampler: WindowSampler) -> None:
    assert sampler.over_limit == []
    assert len(sampler.samples) >= 50
    assert len({(sample.consumed, sample.held) for sample in sampler.samples}) >= 10
    assert any(sample.held for sample in sampler.samples)


def _assert_did_not_fit(reply: httpx.Response) -> None:
    error = reply.json()["error"]
    limit, consumed, held, requested = (
        Decimal(error[name]) for name in ("limit", "consumed", "held", "requested")
    )
    assert limit == Decimal("0.006")
    assert consumed + held <= limit < consumed + held + requested


def _assert_every_cap_was_paid_for(
    accepted: list[httpx.Response], calls: dict[UUID, Call], received: list[Received]
) -> None:
    """No request that reached the provider allowed more output than its call's hold pays for."""
    prompts = {_prompt_of(reply): calls[_call_id(reply)] for reply in accepted}
    assert len(prompts) == len(accepted)
    for request in received:
        call = prompts[request.prompt]
        usage = usage_of(request.body, Behaviour())
        assert request.output_cap is not None
        assert request.output_cap <= LARGEST_ANSWER
        assert cost_of(usage.prompt, request.output_cap) <= call.hold("cost")
        assert request.output_cap * OUTPUT_NANO_DOLLARS <= (call.estimate_upper or 0)
        assert _cost(call) == cost_of(usage.prompt, usage.completion) <= call.hold("cost")


def _prompt_of(reply: httpx.Response) -> str:
    return str(json.loads(reply.request.content)["messages"][-1]["content"])


def _call_id(reply: httpx.Response) -> UUID:
    return UUID(reply.headers["x-palyra-call-id"])


def _client(address: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=address,
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
        timeout=PATIENCE,
        limits=httpx.Limits(max_connections=None),
    )


async def _call(client: httpx.AsyncClient, model: str, prompt: str, **more: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=chat_body(model, prompt, **more))
