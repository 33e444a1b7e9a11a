"""Rows and a runtime for tests of calls that go on elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

from governance.calls import Caller, CallRequest
from governance.models import BudgetPolicy, BudgetWindow, ModelCall, ProviderLease, Team
from governance.runtime import Runtime
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

QUICK = {"retry_backoff_ms": 1, "breaker_threshold": 100}


class TwoProviders:
    """The providers `first`, whose model is the default, and `second`, at ten times the price."""

    runtime: Runtime

    def __init__(self) -> None:
        self.team: Team = make_team()
        self.first = make_provider(name="first", **QUICK)
        self.second = make_provider(name="second", **QUICK)
        self.cheap = make_model(
            provider=self.first, name="cheap", is_default=True, max_output_tokens=100
        )
        self.dear = make_model(provider=self.second, name="dear", max_output_tokens=100)
        make_price(self.cheap)
        make_price(self.dear, uncached_input=10 * 10**9, output=20 * 10**9)
        self.policy: BudgetPolicy = make_policy(name="Monthly", hard_limit=10**9)

    def request(self, model: str = "auto", **body: Any) -> CallRequest:
        asked = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
        caller = Caller(team_id=self.team.pk, surface="openai")
        return CallRequest(caller=caller, body=asked)

    async def changed(self) -> None:
        """Wait until the runtime knows what is stored."""
        await asyncio.to_thread(self.runtime.keeper.refresh)

    async def row(self) -> ModelCall:
        """The only call, settled: this stops the runtime."""
        await self.runtime.stop()
        return await ModelCall.objects.aget()

    async def counters(self) -> tuple[int, int, int]:
        """Consumed, held, and calls counted as under way."""
        window = await BudgetWindow.objects.aget(policy=self.policy)
        leases = [one.in_use async for one in ProviderLease.objects.all()]
        return window.consumed, window.held, sum(leases)
