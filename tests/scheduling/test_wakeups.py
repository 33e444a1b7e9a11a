"""Waiting ends at a change, at a request to stop, and otherwise when its time is up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import psycopg
import pytest
from django.db import connection
from django_q.models import OrmQ

from scheduling import wakeups
from scheduling.broker import DatabaseBroker
from scheduling.stopping import StopRequest
from scheduling.wakeups import JOBS_CHANGED, SqliteWatch, Watch, watch
from tests.scheduling.conftest import MakeJob

# Far longer than any test waits: whoever waits this long has missed its event.
FOR_EVER = 600.0
PATIENCE = 60.0
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest()


@pytest.fixture
def watching() -> Iterator[Watch]:
    watching = watch(JOBS_CHANGED, interval=0.01)
    yield watching
    watching.close()


def in_thread(work: Callable[[], None]) -> Future[None]:
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def assert_ends(waiting: Future[None]) -> None:
    waiting.result(PATIENCE)


def settle(watching: Watch, stop: StopRequest) -> None:
    """The first wait returns at once, so that what was there before is seen."""
    watching.wait(FOR_EVER, stop)


def test_a_change_ends_the_wait(watching: Watch, stop: StopRequest, make_job: MakeJob) -> None:
    settle(watching, stop)
    waiting = in_thread(lambda: watching.wait(FOR_EVER, stop))

    make_job()

    assert_ends(waiting)
    assert not stop.is_set()


def test_a_change_before_the_wait_is_not_slept_through(
    watching: Watch, stop: StopRequest, make_job: MakeJob
) -> None:
    settle(watching, stop)

    make_job()

    assert_ends(in_thread(lambda: watching.wait(FOR_EVER, stop)))


def test_without_a_change_the_time_is_waited_for(watching: Watch, stop: StopRequest) -> None:
    settle(watching, stop)

    assert_ends(in_thread(lambda: watching.wait(0.01, stop)))


def test_a_request_to_stop_ends_the_wait(watching: Watch, stop: StopRequest) -> None:
    settle(watching, stop)
    waiting = in_thread(lambda: watching.wait(FOR_EVER, stop))

    stop.ask()

    assert_ends(waiting)


def test_a_signal_is_a_request_to_stop(stop: StopRequest) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(FOR_EVER)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stop.times_asked == 2


def test_a_database_that_is_away_makes_the_wait_a_plain_one(
    stop: StopRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    if connection.vendor == "postgresql":
        watching = watch(JOBS_CHANGED, interval=0.01)
        settle(watching, stop)
        # The server ends our connection, and then takes no new one.
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
        monkeypatch.setattr(wakeups, "SQLITE_LONGEST_WAIT", 0.01)
    else:
        watching = SqliteWatch(f"{tmp_path}/away/palyra.sqlite3", 0.01)

    assert_ends(in_thread(lambda: watching.wait(0.05, stop)))
    watching.close()


def test_the_queue_gives_a_message_as_soon_as_it_is_sent() -> None:
    queue = DatabaseBroker()
    taken: list[str] = []

    def take() -> None:
        try:
            while not taken:
                taken.extend(payload for _, payload in queue.dequeue() or ())
        finally:
            connection.close()

    taking = in_thread(take)
    queue.enqueue("first")
    assert_ends(taking)

    assert taken == ["first"]
    assert queue.dequeue() is None


def test_messages_are_taken_once_and_in_order() -> None:
    queue, other = DatabaseBroker(), DatabaseBroker()
    for text in ("first", "second", "third"):
        queue.enqueue(text)

    taken = [queue.dequeue(), other.dequeue(), queue.dequeue()]

    assert [messages[0][1] for messages in taken if messages] == ["first", "second", "third"]
    numbers = [messages[0][0] for messages in taken if messages]
    queue.acknowledge(numbers[0])
    assert set(OrmQ.objects.values_list("id", flat=True)) == set(numbers[1:])
