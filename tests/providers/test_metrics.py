"""What attempts came to: counted by anyone, written by many, added up by hour."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from providers import metrics
from providers.histogram import RELATIVE_ERROR
from providers.metrics import MetricsRecorder, summaries
from providers.models import Provider, ProviderMetric
from tests.support.factories import make_provider

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.now = HOUR + timedelta(minutes=20)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(clock: Clock) -> MetricsRecorder:
    return MetricsRecorder(clock=clock)


@pytest.fixture
def provider() -> Provider:
    return make_provider(name="ada")


def about(milliseconds: float) -> float:
    return pytest.approx(milliseconds, rel=RELATIVE_ERROR * 1.001)  # type: ignore[return-value]


def test_what_is_counted_is_summed_up(recorder: MetricsRecorder, provider: Provider) -> None:
    for latency in (100, 200, 300, 400):
        recorder.answered(provider.pk, "m", latency_ms=latency, output_tokens=10)
    recorder.answered(provider.pk, "m", latency_ms=2000, first_token_ms=50)
    recorder.failed(provider.pk, "m", "rate_limited")
    recorder.failed(provider.pk, "m", "rate_limited")
    recorder.failed(provider.pk, "m", "auth_invalid")
    recorder.flush()
    (summary,) = summaries(since=HOUR)
    assert (summary.provider, summary.model, summary.attempts) == ("ada", "m", 8)
    assert summary.failures == {"rate_limited": 2, "auth_invalid": 1}
    assert summary.latency_p50 == about(300)
    assert summary.latency_p95 == about(2000)
    assert summary.first_token_p50 == summary.first_token_p95 == about(50)
    # Only of the answers whose tokens are known: 40 tokens in one second.
    assert summary.tokens_per_second == 40.0


def test_nothing_measured_is_none(recorder: MetricsRecorder, provider: Provider) -> None:
    recorder.failed(provider.pk, "m", "auth_invalid")
    recorder.flush()
    (summary,) = summaries(since=HOUR)
    assert summary.latency_p50 is summary.latency_p95 is summary.tokens_per_second is None
    assert summary.first_token_p50 is summary.first_token_p95 is None


def test_hours_are_rows_and_are_added_up_in_one_query(
    recorder: MetricsRecorder, provider: Provider, clock: Clock
) -> None:
    for hours in range(4):
        clock.now = HOUR + timedelta(hours=hours, minutes=59)
        recorder.answered(provider.pk, "m", latency_ms=100)
        recorder.answered(provider.pk, "n", latency_ms=100)
    recorder.flush()
    recorder.flush()
    assert ProviderMetric.objects.count() == 8
    with CaptureQueriesContext(connection) as queries:
        found = summaries(since=HOUR + timedelta(hours=1, minutes=30))
    assert [(one.model, one.attempts) for one in found] == [("m", 3), ("n", 3)]
    assert len(queries) == 1


def test_many_writers_lose_nothing(provider: Provider, clock: Clock) -> None:
    """As many processes do: each has its own recorder and connection, and all begin at once."""
    writers, rounds = 4, 5
    barrier = threading.Barrier(writers)

    def write() -> None:
        try:
            for _ in range(rounds):
                recorder = MetricsRecorder(clock=clock)
                recorder.answered(provider.pk, "m", latency_ms=100, first_token_ms=10)
                recorder.failed(provider.pk, "m", "rate_limited")
                barrier.wait()
                recorder.flush()
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = ProviderMetric.objects.get()
    total = writers * rounds
    assert (row.attempts, row.failures) == (2 * total, {"rate_limited": total})
    assert sum(row.latency.values()) == sum(row.first_token.values()) == total


def test_counting_from_many_threads_loses_nothing(
    recorder: MetricsRecorder, provider: Provider
) -> None:
    def count() -> None:
        for _ in range(500):
            recorder.failed(provider.pk, "m", "rate_limited")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert ProviderMetric.objects.get().attempts == 2000


def test_what_cannot_be_written_is_kept(
    recorder: MetricsRecorder, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("the server is gone")

    recorder.answered(provider.pk, "m", latency_ms=100)
    with monkeypatch.context() as patched:
        patched.setattr(metrics, "_add", away)
        with pytest.raises(OperationalError):
            recorder.flush()
    recorder.answered(provider.pk, "m", latency_ms=100)
    recorder.flush()
    assert ProviderMetric.objects.get().attempts == 2


def test_a_deleted_provider_is_forgotten(recorder: MetricsRecorder, provider: Provider) -> None:
    other = make_provider()
    recorder.failed(provider.pk, "m", "rate_limited")
    recorder.failed(other.pk, "m", "rate_limited")
    provider.delete()
    recorder.flush()
    assert ProviderMetric.objects.get().provider == other


def test_nothing_counted_asks_nothing(recorder: MetricsRecorder) -> None:
    with CaptureQueriesContext(connection) as queries:
        recorder.flush()
    assert len(queries) == 0
