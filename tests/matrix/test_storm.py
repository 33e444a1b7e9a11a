"""Everything at once: faults of every kind, limits that are reached, clients that leave.

Whatever happens to a call, it has one row, which ends; what it is charged is in the budgets, to the
nano-dollar; and in the end nothing is held and no place is taken.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest
from asgiref.sync import sync_to_async

from governance.models import BudgetWindow, ModelCall
from providers.models import ProviderKind
from tests.matrix.cells import held, make_key
from tests.matrix.operations import MORE, Operation
from tests.support import faults
from tests.support.client import chat_body
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
)
from tests.support.faults import Behaviour, Fault
from tests.support.serving import Served, serving
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("connections_closed")]
CALLS, AT_ONCE = 600, 30
# Of a hundred clients, how many leave after some of a stream, and how many after some seconds.
LEAVE_A_STREAM, LEAVE_IN_TIME = 25, 15
LONGEST_STAY = 0.4
KINDS = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC)
OFTEN = 60
FAULTY = [
    Behaviour(),
    Behaviour(pause=0.05),
    Behaviour(latency=0.1),
    Behaviour(fault=Fault.NO_USAGE),
    *(
        Behaviour(
            status=one.status,
            error_type=one.error_type,
            error_code=one.error_code,
            headers=one.headers,
            percent=OFTEN,
            seed=seed,
        )
        for seed, one in enumerate(
            (faults.INVALID_KEY, faults.INVALID_REQUEST, faults.RATE_LIMITED, faults.OVERLOADED)
        )
    ),
    *(
        Behaviour(fault=fault, after=after, percent=OFTEN, seed=after)
        for fault in (
            Fault.DROPPED,
            Fault.DROPPED_IN_BODY,
            Fault.TRUNCATED,
            Fault.ERROR_EVENT,
            Fault.MALFORMED_JSON,
            Fault.HANGS_IN_BODY,
        )
        for after in (0, 2)
    ),
]


def _make(upstream: Upstream) -> str:
    """For each fault a model of that name, at a provider of each kind; the budgets count all."""
    key = make_key()
    make_policy(name="Tokens", metric="tokens", hard_limit=10**9)
    make_policy(name="Requests", metric="requests", hard_limit=10**6)
    for kind in KINDS:
        anthropic = kind is ProviderKind.ANTHROPIC
        provider = make_provider(
            name=kind.value.replace("_", "-"),
            kind=kind,
            base_url=upstream.anthropic_base_url if anthropic else upstream.base_url,
            total_timeout=1.0,
            first_token_timeout=0.5,
            retry_backoff_ms=1,
            max_retries=1,
            breaker_threshold=5,
            breaker_cooldown=0.1,
            cache_seconds=0,
            concurrency_limit=6,
            credential_concurrency_limit=4,
        )
        for number in range(2):
            make_credential(provider, f"sk-number-{number}-of-{kind.value}")
        for number, behaviour in enumerate(FAULTY):
            upstream_name = f"{kind.value}-{number}"
            upstream.behave(upstream_name, behaviour)
            model = make_model(
                provider=provider,
                name=f"fault-{number}",
                upstream_name=upstream_name,
                max_output_tokens=90,
            )
            make_price(model)
    return key


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_everything_adds_up(
    transactional_db: None, running: Upstream, seed: int
) -> None:
    key = await sync_to_async(_make)(running)
    async with serving(key) as served:
        statuses = await _storm(served, random.Random(seed))
        await served.stop()
        calls = [call async for call in ModelCall.objects.all()]
        counters = BudgetWindow.objects.select_related("policy")
        windows = {one.policy.name: one async for one in counters}
        assert await held() == 0

    # The storm was one: some were answered, some failed, some left.
    assert sum(statuses.values()) == CALLS
    assert min(statuses[200], statuses[502], statuses["left"]) > 10, statuses
    assert {call.status for call in calls} == {"succeeded", "failed", "cancelled"}
    # A client that left at once may have left before there was a call.
    assert CALLS - statuses["left"] <= len(calls) <= CALLS
    for call in calls:
        _assert_ended_well(call)
    assert windows["Monthly"].consumed == sum(call.cost or 0 for call in calls)
    assert windows["Tokens"].consumed == sum(call.total_tokens or 0 for call in calls)


@dataclass(frozen=True, slots=True)
class Planned:
    """A call to be made. Its client leaves after so many events, or seconds, if they are given."""

    model: str
    operation: Operation
    events: int | None
    seconds: float | None


def _plan(chance: random.Random) -> Planned:
    return Planned(
        f"fault-{chance.randrange(len(FAULTY))}",
        chance.choice((Operation.CHAT, Operation.STREAM)),
        chance.randrange(5) if chance.randrange(100) < LEAVE_A_STREAM else None,
        chance.random() * LONGEST_STAY if chance.randrange(100) < LEAVE_IN_TIME else None,
    )


async def _storm(served: Served, chance: random.Random) -> Counter[int | str]:
    """How often each status came; `left` where the client went away first."""
    plans = iter([_plan(chance) for _ in range(CALLS)])
    statuses: Counter[int | str] = Counter()

    async def take_turns() -> None:
        for planned in plans:
            try:
                async with asyncio.timeout(planned.seconds):
                    status = await _call(served, planned)
            except TimeoutError:
                status = "left"
            statuses[status] += 1

    await asyncio.gather(*(take_turns() for _ in range(AT_ONCE)))
    return statuses


async def _call(served: Served, planned: Planned) -> int | str:
    streamed = planned.operation is Operation.STREAM
    body = chat_body(planned.model, max_tokens=80, **MORE.get(planned.operation, {}))
    async with served.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        lines = 0
        async for line in reply.aiter_lines():
            lines += bool(line)
            if streamed and planned.events is not None and lines > planned.events:
                return "left"
        return reply.status_code


def _assert_ended_well(call: ModelCall) -> None:
    """What it is charged follows from what it used, and its attempts from how it ended."""
    outcomes = [one["outcome"] for one in call.attempts]
    assert call.settled_at is not None
    assert call.cost == 1000 * (call.uncached_input_tokens or 0) + 2000 * (call.output_tokens or 0)
    if not outcomes:
        # Its client left before anything was sent.
        assert (call.status, call.cost) == ("cancelled", 0)
        return
    # Only the last attempt may have been anything but a failure, or a provider passed over.
    assert set(outcomes[:-1]) <= {"failed", "skipped"}, outcomes
    if call.status == "succeeded":
        assert outcomes[-1] == "answered"
    else:
        assert outcomes[-1] in {"failed", "cut", "skipped", "broken_off"}, outcomes
    for before, after in pairwise(call.attempts):
        assert before["failure_class"] or before["outcome"] == "skipped"
        assert after["latency_ms"] >= 0
