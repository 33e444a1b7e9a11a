"""Ten thousand calls at a provider that fails three times in ten: each answered, paid for once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import aiohttp
import pytest

from tests.support.arrangements import limit_team, make_team
from tests.support.client import Person, chat_body
from tests.support.faults import Behaviour
from tests.support.palyra import Palyra, start_palyra
from tests.support.processes import eventually
from tests.support.records import Call
from tests.support.upstream import Received, Upstream, start_upstream

pytestmark = pytest.mark.processes
CALLS, AT_ONCE = 10_000, 40
MODEL, TEAM = "steady", "many"
FLAKY, HEALTHY = "flaky", "healthy"
FAILS_PERCENT = 30
# Dollars per million tokens, and so thousands of nano-dollars per token: input and output.
PRICES = {FLAKY: (1, 2), HEALTHY: (3, 5)}
LARGEST_ANSWER = 60


@dataclass(frozen=True, slots=True)
class Answered:
    """A call's answer, as far as it counts."""

    call_id: UUID
    prompt: str
    provider: str
    usage: tuple[int, int]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with start_upstream() as started:
        started.behave(FLAKY, Behaviour(status=500, percent=FAILS_PERCENT, seed=7))
        yield started


@pytest.fixture(scope="module")
def palyra(upstream: Upstream) -> Iterator[Palyra]:
    with start_palyra() as started:
        administrator = started.administrator()
        _register(administrator, upstream, FLAKY, cost_tier="low")
        _register(administrator, upstream, HEALTHY, cost_tier="standard")
        administrator.close()
        yield started


def _register(administrator: Person, upstream: Upstream, name: str, *, cost_tier: str) -> None:
    """A provider whose model the upstream knows by the provider's name."""
    administrator.post(
        "/providers",
        {
            "name": name,
            "kind": "openai_compatible",
            "base_url": upstream.base_url,
            "allow_private_base_url": True,
            "credentials": [{"secret": f"sk-of-the-{name}-provider"}],
            "max_retries": 2,
            "retry_backoff_ms": 1,
            # Three failures in a row are common here, so it opens and closes all the time.
            "breaker_threshold": 3,
            "breaker_cooldown": 0.1,
            "concurrency_limit": 2 * AT_ONCE,
            "credential_concurrency_limit": 2 * AT_ONCE,
        },
    )
    model = administrator.post(
        f"/providers/{name}/models",
        {
            "name": MODEL,
            "upstream_name": name,
            "max_output_tokens": LARGEST_ANSWER,
            "cost_tier": cost_tier,
        },
    )
    entered, left = PRICES[name]
    administrator.post(
        "/prices", {"model": model["id"], "uncached_input": f"{entered}", "output": f"{left}"}
    )


def test_of_ten_thousand_calls_each_is_answered_and_paid_for_once(
    palyra: Palyra, upstream: Upstream
) -> None:
    administrator, records = palyra.administrator(), palyra.records
    team = make_team(administrator, TEAM)
    for metric, limit in (("cost", "1000"), ("tokens", 10**9), ("requests", CALLS)):
        limit_team(administrator, TEAM, metric=metric, hard_limit=limit, name=metric)

    answers = asyncio.run(_ask(palyra.base_url, team.key))
    eventually(records.held, lambda held: held == 0, what="nothing is held")

    calls = records.calls(model=MODEL)
    received = upstream.received()
    answered = {one.prompt: one for one in received if one.answered}
    # Every call was answered, by exactly one attempt, and the ledger has it once.
    assert len(answers) == len(answered) == upstream.answered() == CALLS
    assert len(calls) == CALLS
    assert {call.status for call in calls} == {"succeeded"}
    _assert_each_is_paid_for_once(answers, {call.id: call for call in calls}, answered)
    _assert_both_were_tried(answers, received)
    # What the budgets counted is what the ledger has, to the nano-dollar.
    assert records.window("cost").consumed == sum(call.cost or 0 for call in calls)
    assert records.window("tokens").consumed == sum(sum(one.usage) for one in answers)
    assert records.window("requests").consumed == CALLS
    # Nothing is under way any more: no place at a provider is taken.
    assert records.leases() == (4, 0)
    administrator.close()


def _assert_each_is_paid_for_once(
    answers: list[Answered], calls: dict[UUID, Call], answered: dict[str, Received]
) -> None:
    for answer in answers:
        call, attempt = calls[answer.call_id], answered[answer.prompt]
        usage = attempt.usage()
        assert attempt.body["model"] == answer.provider
        assert answer.usage == (usage.prompt, usage.completion)
        assert (call.uncached_input_tokens, call.output_tokens) == answer.usage
        assert call.usage_reported
        entered, left = PRICES[answer.provider]
        assert call.cost == 1000 * (entered * usage.prompt + left * usage.completion)


def _assert_both_were_tried(answers: list[Answered], received: list[Received]) -> None:
    """The test would be about nothing if no call had failed, or none gone elsewhere."""
    by_provider = Counter(answer.provider for answer in answers)
    assert set(by_provider) == {FLAKY, HEALTHY}
    assert min(by_provider.values()) > 100
    failed = [one for one in received if not one.answered]
    asked = [one for one in received if one.body["model"] == FLAKY]
    assert {one.body["model"] for one in failed} == {FLAKY}
    assert len(failed) == pytest.approx(len(asked) * FAILS_PERCENT / 100, rel=0.15)


async def _ask(base_url: str, key: str) -> list[Answered]:
    """All calls, some at a time. aiohttp, because the machine is needed for Palyra."""
    turns = iter(range(CALLS))
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(base_url, headers=headers, connector=connector) as session:

        async def take_turns() -> list[Answered]:
            return [await _call(session, f"Call number {turn}.") for turn in turns]

        rounds = await asyncio.gather(*(take_turns() for _ in range(AT_ONCE)))
    return [answer for one in rounds for answer in one]


async def _call(session: aiohttp.ClientSession, prompt: str) -> Answered:
    async with session.post("/v1/chat/completions", json=chat_body(MODEL, prompt)) as reply:
        body = await reply.json()
        assert reply.status == 200, body
        usage = body["usage"]
        return Answered(
            UUID(reply.headers["x-palyra-call-id"]),
            prompt,
            reply.headers["x-palyra-model"].partition("/")[0],
            (usage["prompt_tokens"], usage["completion_tokens"]),
        )
