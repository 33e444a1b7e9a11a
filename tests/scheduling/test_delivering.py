"""Messages under way: what came of each is recorded, whatever happens to its process meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, OperationalError

from governance.alerts import deliveries
from governance.alerts.deliveries import send_test
from governance.models import Channel, Delivery, DeliveryStatus
from scheduling.dispatcher import database_now
from scheduling.maintenance import Maintenance, booking, errands
from scheduling.models import MaintenanceJob
from tests.governance.alerts.receiver import SECRET, Receiver, receiving
from tests.support.factories import make_secret
from tests.support.processes import eventually

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OFTEN, ONCE = 0.01, 600.0
Start = Callable[[float], Maintenance]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts threads that look so often, with deliveries due alone; all are stopped at the end."""
    booking.make_rows(LONG_AGO)
    MaintenanceJob.objects.exclude(pk="deliveries").update(next_at=None)
    started: list[Maintenance] = []

    def start(look_every: float) -> Maintenance:
        one = Maintenance(look_every=look_every)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def delivery(receiver: Receiver) -> Delivery:
    channel = Channel.objects.create(
        name="hook", url=receiver.url, secret=make_secret(SECRET), allow_private_addresses=True
    )
    return send_test(channel, database_now())


def status(delivery: Delivery) -> str:
    return Delivery.objects.values_list("status", flat=True).get(pk=delivery.pk)


def is_recorded(delivery: Delivery) -> None:
    eventually(lambda: status(delivery), DeliveryStatus.DELIVERED.__eq__, what="it", patience=10)


def test_what_ends_while_another_has_the_job_is_recorded(
    start: Start, receiver: Receiver, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "DELIVERING_SECONDS", 0.01)
    receiver.answers.clear()
    start(OFTEN)
    eventually(lambda: receiver.received, bool, what="a message")
    row = MaintenanceJob.objects.filter(pk="deliveries")
    row.update(enabled=False, next_at=None)
    eventually(lambda: row.get().owner, lambda owner: owner is None, what="the end of the turn")

    receiver.answers.set()
    is_recorded(delivery)
    assert row.get().next_at is None

    # The next turn tells of it.
    row.update(enabled=True, next_at=LONG_AGO)
    told = "1 message was taken."
    eventually(lambda: row.get().last_result, told.__eq__, what="the words", patience=10)


class Fails:
    """Takes the place of recording, and raises so long as it is to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
        self.error, self.times, self.has_failed = error, times, threading.Event()
        self._record = deliveries.record
        monkeypatch.setattr(deliveries, "record", self)

    def __call__(self, *given: Any) -> None:
        if self.times:
            self.times -= 1
            self.has_failed.set()
            raise self.error
        self._record(*given)


def test_what_the_database_did_not_take_is_recorded_later(
    start: Start, receiver: Receiver, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fails(monkeypatch, OperationalError("away"), times=3)
    start(OFTEN)
    is_recorded(delivery)
    assert len(receiver.received) == 1


def test_what_was_answered_is_recorded_before_the_process_ends(
    start: Start, receiver: Receiver, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Fails(monkeypatch, OperationalError("away"), times=1)
    one = start(ONCE)
    assert fails.has_failed.wait(30)
    assert status(delivery) == DeliveryStatus.PENDING
    one.stop()
    assert status(delivery) == DeliveryStatus.DELIVERED


def test_what_can_never_be_recorded_keeps_no_other_from_it(
    start: Start,
    receiver: Receiver,
    delivery: Delivery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Fails(monkeypatch, DataError("odd"), times=1)
    second = send_test(delivery.channel, database_now())
    start(OFTEN)
    ended = Delivery.objects.filter(status=DeliveryStatus.DELIVERED)
    eventually(ended.count, bool, what="the other's", patience=10)
    odd = delivery if status(delivery) == DeliveryStatus.PENDING else second
    assert f"What came of delivery {odd.pk} cannot be recorded." in caplog.text
