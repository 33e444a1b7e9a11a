"""What a process needs to call providers starts, writes what it measured, and ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from providers import services
from providers.metrics import MetricsRecorder
from providers.models import ProviderMetric
from providers.services import Flushing, ProviderServices
from tests.support.factories import make_provider

pytestmark = pytest.mark.django_db(transaction=True)


def threads() -> set[str]:
    return {one.name for one in threading.enumerate()} & {"breakers", "metrics"}


def test_what_was_measured_is_written_at_the_end() -> None:
    provider = make_provider()

    async def live() -> None:
        made = ProviderServices.make()
        await asyncio.to_thread(made.start)
        assert threads() == {"breakers", "metrics"}
        made.metrics.failed(provider.pk, "m", "rate_limited")
        await made.stop()

    asyncio.run(live())
    assert ProviderMetric.objects.get().attempts == 1
    assert threads() == set()


async def test_what_never_started_can_be_stopped() -> None:
    await ProviderServices.make().stop()


def test_metrics_are_written_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FLUSH_SECONDS", 0.01)
    twice = threading.Semaphore(0)

    class Recorder(MetricsRecorder):
        def flush(self) -> None:
            twice.release()

    flushing = Flushing(Recorder())
    flushing.start()
    for _ in range(2):
        assert twice.acquire(timeout=30)
    flushing.stop()


def test_what_cannot_be_written_is_said_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "FLUSH_SECONDS", 0.01)
    tries = threading.Semaphore(0)

    class Recorder(MetricsRecorder):
        def flush(self) -> None:
            tries.release()
            raise RuntimeError("no\nway")

    flushing = Flushing(Recorder())
    with caplog.at_level(logging.WARNING, "providers.services"):
        flushing.start()
        for _ in range(3):
            assert tries.acquire(timeout=30)
        flushing.stop()
    assert caplog.messages == ["Metrics cannot be written for now: no"]


def test_the_cache_is_shared_where_redis_is_configured(settings: Any) -> None:
    settings.PALYRA_REDIS_URL = "redis://127.0.0.1:1"
    assert ProviderServices.make().cache._shared is not None
    settings.PALYRA_REDIS_URL = ""
    assert ProviderServices.make().cache._shared is None
