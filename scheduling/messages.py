"""What the workers are told: “there are runs to be made”, and how many each should take.

The truth about a run is its row, and a worker takes whichever runs are due: a message may be lost
or come twice, and harms nobody.
"""

from __future__ import annotations

from functools import cache
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.tasks import async_task

from scheduling.broker import DatabaseBroker

TASK = "scheduling.tasks.execute_runs"
KEPT_CALL_TASK = "scheduling.tasks.make_kept_call"
# No message asks for more: the calls of one are begun together.
MOST_RUNS_A_MESSAGE = 50


def tell(count: int) -> None:
    """Tell the workers of `count` runs, in the caller's transaction if the database is the queue.

    With Redis they are told after the commit; should that fail, recovery tells them again.
    """
    for share in shares(count, int(settings.Q_CLUSTER["workers"])):
        _enqueue(TASK, share)


def tell_of_kept_call(call_id: UUID) -> None:
    """Tell a worker of a call that was kept and is approved, as `tell` does of runs."""
    _enqueue(KEPT_CALL_TASK, str(call_id))


def shares(count: int, workers: int) -> list[int]:
    """How many runs each message is for: as even as may be, and none for more than it may."""
    size = min(MOST_RUNS_A_MESSAGE, max(1, -(-count // workers)))
    full, rest = divmod(count, size)
    return [size] * full + ([rest] if rest else [])


def _enqueue(task: str, argument: int | str) -> None:
    # A function of its own, and no `partial`: Django names it when it fails.
    def enqueue() -> None:
        async_task(task, argument, broker=broker())

    if isinstance(broker(), ORM):
        enqueue()
    else:
        transaction.on_commit(enqueue, robust=True)


@cache
def broker() -> Broker:
    """This process's way to the queue: the database, or Redis where that is set."""
    return DatabaseBroker() if Conf.ORM else get_broker()
