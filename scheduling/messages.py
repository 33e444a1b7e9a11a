"""What the dispatcher tells the workers: “look at these runs”, and nothing more.

The truth about a run is its row. A message may be lost or come twice: recovery sends it again, and
a worker that finds a run taken passes it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage
from django_q.tasks import async_task

from scheduling.broker import DatabaseBroker
from scheduling.models import CronRun

TASK = "scheduling.tasks.execute_runs"
KEPT_CALL_TASK = "scheduling.tasks.make_kept_call"
# The calls of one message are made at once, by one worker.
MOST_RUNS_A_MESSAGE = 50
MOST_MESSAGES_READ = 1000
Pair = tuple[str, str]


def send(runs: Sequence[CronRun]) -> None:
    """Hand runs to the workers: in the caller's transaction where the database is the queue.

    With Redis they are sent after the commit; should that fail, recovery sends them again.
    """
    for pairs in batches([(str(run.id), str(run.token)) for run in runs], _worker_count()):
        if isinstance(broker(), ORM):
            _enqueue(pairs)
        else:
            _enqueue_on_commit(pairs)


def send_kept_call(call_id: UUID) -> None:
    """Hand a call that was kept and is approved to the workers, as `send` does with runs."""

    def enqueue() -> None:
        async_task(KEPT_CALL_TASK, str(call_id), broker=broker())

    if isinstance(broker(), ORM):
        enqueue()
    else:
        transaction.on_commit(enqueue, robust=True)


def batches(pairs: Sequence[Pair], workers: int) -> list[list[Pair]]:
    """Shares for `workers`, in order; none is longer than one message may be."""
    size = min(MOST_RUNS_A_MESSAGE, max(1, -(-len(pairs) // workers)))
    return [list(pairs[start : start + size]) for start in range(0, len(pairs), size)]


def _enqueue_on_commit(pairs: list[Pair]) -> None:
    # A function of its own, and no `partial`: Django names it when it fails.
    def enqueue() -> None:
        _enqueue(pairs)

    transaction.on_commit(enqueue, robust=True)


def _enqueue(pairs: Iterable[Pair]) -> None:
    async_task(TASK, list(pairs), broker=broker())


def _worker_count() -> int:
    return int(settings.Q_CLUSTER["workers"])


@cache
def broker() -> Broker:
    """This process's way to the queue: the database, or Redis where that is set."""
    return DatabaseBroker() if Conf.ORM else get_broker()


def undelivered() -> set[UUID] | None:
    """The runs that wait in the queue; None if it is too long to be read."""
    payloads = _payloads()
    if len(payloads) > MOST_MESSAGES_READ:
        return None
    return {UUID(run_id) for payload in payloads for run_id, _ in _pairs(payload)}


def _payloads() -> list[Any]:
    queue = broker()
    if isinstance(queue, ORM):
        waiting = OrmQ.objects.filter(key=queue.list_key, lock__lte=timezone.now())
        return list(waiting.values_list("payload", flat=True)[: MOST_MESSAGES_READ + 1])
    return list(queue.connection.lrange(queue.list_key, 0, MOST_MESSAGES_READ))


def _pairs(payload: Any) -> list[Pair]:
    try:
        task = SignedPackage.loads(payload.decode() if isinstance(payload, bytes) else payload)
    except (BadSignature, TypeError):
        return []
    return list(task["args"][0]) if task["func"] == TASK else []
