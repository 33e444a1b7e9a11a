"""How workers are told of runs where the queue is not the database."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.utils import timezone
from django_q.brokers import Broker
from django_q.signing import SignedPackage

from scheduling import handling, messages
from scheduling.models import CronRun, RunStatus
from tests.scheduling.conftest import MakeJob


class FakeRedis(Broker):  # type: ignore[misc]
    """A queue outside the database, as Redis is."""

    def __init__(self) -> None:
        super().__init__(list_key="django_q:palyra:q")
        self.sent: list[str] = []
        self.away = False

    def enqueue(self, task: str) -> int:
        if self.away:
            raise redis.ConnectionError("Connection refused.")
        self.sent.append(task)
        return len(self.sent)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    queue = FakeRedis()
    monkeypatch.setattr(messages, "broker", lambda: queue)
    return queue


def test_workers_are_told_once_the_run_is_committed(
    queue: FakeRedis, make_job: MakeJob, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        handling.run_now(make_job(), now=timezone.now())
        assert queue.sent == []

    (message,) = queue.sent
    task = SignedPackage.loads(message)
    assert (task["func"], task["args"]) == ("scheduling.tasks.execute_runs", (1,))


def test_a_queue_that_is_away_leaves_the_run_to_be_told_of_again(
    queue: FakeRedis, make_job: MakeJob, django_capture_on_commit_callbacks: Any
) -> None:
    queue.away = True

    with django_capture_on_commit_callbacks(execute=True):
        handling.run_now(make_job(), now=timezone.now())

    assert CronRun.objects.get().status == RunStatus.QUEUED
