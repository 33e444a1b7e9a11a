"""Hard limits of every scope, while processes that spend are killed and providers fail.

Four processes make fifty calls at a time each. At no instant does any budget have more than its
limit, and when all is over every counter is what the ledger's rows add up to.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.faults import Behaviour, Fault
from tests.support.palyra import Palyra, start_palyra
from tests.support.processes import ChildProcess, eventually
from tests.support.records import Records
from tests.support.sampler import BudgetsSampler
from tests.support.spending import LIMITS, PROVIDERS, START
from tests.support.tallies import reported, rows, tallies, used
from tests.support.upstream import Upstream, start_upstream

pytestmark = pytest.mark.processes
SPENDERS, KILLS = 4, 4
# Of each process, for each budget's team.
TURNS = 36
# Calls that reach a provider between one kill and the next.
BETWEEN = 5
UNDER_WAY = "SELECT COUNT(*) FROM governance_modelcall WHERE status = 'in_flight'"
OF_PROCESS = "SELECT id FROM governance_processheartbeat WHERE pid = ?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with start_upstream() as started:
        first, second = PROVIDERS
        started.behave(first, Behaviour(status=500, percent=20, seed=3, latency=0.05))
        started.behave(second, Behaviour(fault=Fault.DROPPED, percent=10, seed=4, latency=0.05))
        yield started


@pytest.fixture(scope="module")
def palyra(upstream: Upstream) -> Iterator[Palyra]:
    with start_palyra() as started:
        child = _child(started, "arranging", "arrange", upstream.base_url)
        assert child.wait(patience=60) == 0
        yield started


def test_no_budget_of_any_scope_is_passed_whoever_dies(palyra: Palyra, upstream: Upstream) -> None:
    records = palyra.records
    with BudgetsSampler(records) as sampler, ExitStack() as stack:
        spenders = [stack.enter_context(_spender(palyra, number, 0)) for number in range(SPENDERS)]
        _kill_some(palyra, upstream, spenders, stack)
        for spender in spenders:
            spender.wait_for_line(r"done ")
            assert spender.wait() == 0
        eventually(lambda: _under_way(records), lambda calls: calls == 0, what="all has ended")

    assert sampler.over_limit == []
    witnessed = {sample.policy for sample in sampler.samples if sample.held}
    assert witnessed >= set(LIMITS)
    # Each of the limits stopped somebody, calls were cut off, and providers failed.
    assert _blocking(records) == set(LIMITS)
    statuses = Counter(call.status for call in rows(records))
    assert statuses["unconfirmed"] >= KILLS
    assert statuses["succeeded"] > 100
    assert any(not one.answered for one in upstream.received())
    _assert_it_adds_up(records)


def _assert_it_adds_up(records: Records) -> None:
    """Whatever is counted of calls is what their rows say, to the nano-dollar."""
    every = tallies(records)
    assert [one for one in every if (one.consumed, one.held) != (one.summed, 0)] == []
    assert {one.policy for one in every if one.consumed} >= set(LIMITS)
    assert records.leases() == (len(PROVIDERS), 0)
    expected = used(records)
    for table in ("governance_usagehour", "governance_usageday"):
        assert reported(records, table) == expected


def _kill_some(
    palyra: Palyra, upstream: Upstream, spenders: list[ChildProcess], stack: ExitStack
) -> None:
    """SIGKILL one after another in the middle of its calls, and put another in its place."""
    chosen = random.Random(11)
    for spender in spenders:
        spender.wait_for_line("ready")
    for _ in range(KILLS):
        _wait_for_more_calls(upstream)
        victim = eventually(
            lambda: _caught(palyra.records, chosen.choice(spenders)),
            lambda caught: caught is not None,
            what="one in the middle of a call",
        )
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        number = spenders.index(victim)
        spenders[number] = stack.enter_context(_spender(palyra, number, victim.pid))


def _wait_for_more_calls(upstream: Upstream) -> None:
    enough = upstream.arrived() + BETWEEN
    eventually(upstream.arrived, lambda arrived: arrived >= enough, what="more calls")


def _spender(palyra: Palyra, number: int, dead: int) -> ChildProcess:
    return _child(palyra, f"spender {number}", "spend", f"{TURNS}", f"{dead}")


def _child(palyra: Palyra, name: str, *arguments: str) -> ChildProcess:
    environment = {**palyra.environment, "DJANGO_SETTINGS_MODULE": "palyra_site.settings"}
    return ChildProcess(name, [sys.executable, "-c", START, *arguments], environment=environment)


def _under_way(records: Records) -> int:
    ((count,),) = records.rows(UNDER_WAY)
    return int(count)


def _caught(records: Records, spender: ChildProcess) -> ChildProcess | None:
    """That process, stopped with a call under way; None, and it goes on, if it has none."""
    os.kill(spender.pid, signal.SIGSTOP)
    ((count,),) = records.rows(f"{UNDER_WAY} AND owner IN ({OF_PROCESS})", [spender.pid])
    if count:
        return spender
    os.kill(spender.pid, signal.SIGCONT)
    return None


def _blocking(records: Records) -> set[str]:
    """The budgets that refused a call."""
    refused = records.rows("SELECT error FROM governance_modelcall WHERE status = 'blocked'")
    return {error.partition("”")[0].removeprefix("“") for (error,) in refused}
