"""Probes on a thread of their own: once among processes, never in the way, and soon at an end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from governance.models import Channel, Delivery
from providers import health
from providers.models import Breaker, ProviderProbe
from providers.registry import ProviderEntry
from scheduling import maintenance
from scheduling.maintenance import Maintenance
from tests.governance.alerts.receiver import SECRET, receiving
from tests.providers.host import Host, hosting
from tests.support.factories import make_provider, make_remote, make_secret
from tests.support.processes import eventually

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Start = Callable[..., Maintenance]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a thread that looks very often; all are stopped at the end."""
    started: list[Maintenance] = []

    def start(**options: object) -> Maintenance:
        # Alerts wait longer than any test, unless it is about them.
        seldom = {"evaluation_interval": 3600.0, "delivery_interval": 3600.0}
        one = Maintenance(**{"interval": 0.02, **seldom, **options})  # type: ignore[arg-type]
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting("small") as host:
        yield host


def checked() -> int:
    return ProviderProbe.objects.exclude(checked_at=None).count()


def threads() -> int:
    return sum(one.name == "maintenance" for one in threading.enumerate())


@pytest.mark.django_db(transaction=True)
def test_each_provider_is_probed_once_by_however_many(start: Start, host: Host) -> None:
    for _ in range(3):
        make_remote(base_url=host.base_url)

    for _ in range(3):
        start()
    eventually(checked, lambda count: count == 3, what="three probes")

    assert len(host.asked) == 3
    assert all(ProviderProbe.objects.values_list("ok", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_host_that_hangs_does_not_keep_it_from_stopping(start: Start, host: Host) -> None:
    host.hold()
    make_remote(base_url=host.base_url)
    one = start()
    assert host.asking.wait(30)

    began = time.monotonic()
    one.stop()

    assert time.monotonic() - began < maintenance.PATIENCE
    assert threads() == 0
    assert checked() == 0
    # Whoever comes after may look again in a minute.
    assert ProviderProbe.objects.get().claimed_at is not None


def test_it_stops_while_it_waits(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    def claim(now: datetime) -> list[ProviderEntry]:
        looked.set()
        return []

    monkeypatch.setattr(health, "claim_due", claim)
    one = start(interval=60.0, clock=lambda: NOON)
    assert looked.wait(30)

    began = time.monotonic()
    one.stop()

    assert time.monotonic() - began < maintenance.PATIENCE
    assert threads() == 0


def test_database_errors_are_waited_out_and_said_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = iter([OperationalError("away\nfor long"), OperationalError("still away")])
    back = threading.Event()

    def claim(now: datetime) -> list[ProviderEntry]:
        error = next(errors, None)
        if error is not None:
            raise error
        back.set()
        return []

    monkeypatch.setattr(health, "claim_due", claim)
    with caplog.at_level(logging.WARNING, logger="scheduling.maintenance"):
        one = start(interval=0.001, clock=lambda: NOON)
        assert back.wait(30)
        one.stop()

    assert [record.getMessage() for record in caplog.records] == [
        "Probes wait for the database: away",
        "The database is back; probes go on.",
    ]


def test_a_fault_of_ours_does_not_end_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turns = iter([ValueError("a fault")])
    went_on = threading.Event()

    def claim(now: datetime) -> list[ProviderEntry]:
        error = next(turns, None)
        if error is not None:
            raise error
        went_on.set()
        return []

    monkeypatch.setattr(health, "claim_due", claim)
    start(interval=0.001, clock=lambda: NOON)

    assert went_on.wait(30)
    assert "Probes failed; trying again." in caplog.text


@pytest.mark.django_db(transaction=True)
def test_an_alert_is_raised_and_sent_once_by_however_many(start: Start) -> None:
    with receiving() as receiver:
        Channel.objects.create(
            name="hook",
            url=receiver.url,
            secret=make_secret(SECRET),
            allow_private_addresses=True,
        )
        Breaker.objects.create(provider=make_provider(name="far"), state="open", opened_at=NOON)

        for _ in range(3):
            start(interval=3600.0, evaluation_interval=0.02, delivery_interval=0.02)
        delivered = Delivery.objects.filter(status="delivered")
        eventually(delivered.count, lambda count: count == 1, what="a delivery")

    assert Delivery.objects.count() == len(receiver.received) == 1
