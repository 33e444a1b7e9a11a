"""Calls that need approval, those who decide it, and workers that make them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from governance import approvals, kept_calls
from governance.calls import CallRequest, execute
from governance.errors import (
    CallError,
    CallWaits,
)
from governance.models import (
    Approval,
    BudgetPolicy,
    BudgetWindow,
    ModelCall,
)
from governance.runtime import BlockingRuntime
from tests.governance.scenes import TwoProviders

# Less than anything costs.
NOTHING = 1


class Told:
    """Which calls a worker was told to make."""

    def __init__(self) -> None:
        self.calls: list[UUID] = []

    def __call__(self, call_id: UUID) -> None:
        self.calls.append(call_id)


@contextmanager
def worker() -> Iterator[BlockingRuntime]:
    """A process that makes what it is told to."""
    runtime = BlockingRuntime(role="worker")
    try:
        yield runtime
    finally:
        runtime.stop()


async def approval_needed(two: TwoProviders, **fields: Any) -> None:
    changed = {"action": "approval", "hard_limit": NOTHING, **fields}
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(**changed)
    await two.changed()


def asked(two: TwoProviders, **fields: Any) -> CallRequest:
    return replace(two.request(), respond_async=True, **fields)


async def kept(two: TwoProviders, **fields: Any) -> UUID:
    """A call that is kept."""
    await approval_needed(two)
    with pytest.raises(CallWaits) as waits:
        await execute(asked(two, **fields), runtime=two.runtime)
    assert waits.value.call_id is not None
    return waits.value.call_id


async def refusal(request: CallRequest, two: TwoProviders) -> CallError:
    with pytest.raises(CallError) as raised:
        await execute(request, runtime=two.runtime)
    return raised.value


def decide_now(approve: bool = True, **wanted: Any) -> Approval:
    boss, _ = User.objects.get_or_create(username="boss", is_superuser=True, is_active=True)
    approval = Approval.objects.get(status="pending", **wanted)
    return approvals.decide(
        approval_id=approval.pk,
        decided_by=boss,
        approve=approve,
        comment="" if approve else "Not today.",
        now=timezone.now(),
    )


decide = sync_to_async(decide_now)


async def make(*call_ids: UUID) -> None:
    """Have a worker make the calls, all at once."""

    def one(call_id: UUID, runtime: BlockingRuntime) -> None:
        try:
            kept_calls.make(call_id, runtime)
        finally:
            connections.close_all()

    def work() -> None:
        with worker() as runtime, ThreadPoolExecutor(len(call_ids)) as threads:
            list(threads.map(lambda call_id: one(call_id, runtime), call_ids))

    await asyncio.to_thread(work)


async def sweep(now: datetime | None = None) -> int:
    return await sync_to_async(kept_calls.sweep)(now or timezone.now())


async def status(call_id: UUID) -> str:
    return (await ModelCall.objects.aget(pk=call_id)).status


async def raised(two: TwoProviders) -> tuple[int, int, int]:
    window = await BudgetWindow.objects.aget(policy=two.policy)
    return window.consumed, window.held, window.raised_by
