"""Upkeep on threads of its own: once among processes, never in the way, and soon at an end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from governance.alerts.deliveries import send_test
from governance.models import Channel, Delivery
from providers.models import Breaker, ProviderProbe
from scheduling import maintenance
from scheduling.dispatcher import database_now
from scheduling.maintenance import Maintenance, booking, errands, lanes, operating
from scheduling.maintenance.catalogue import CATALOGUE, Lane, Upkeep
from scheduling.maintenance.turn import NotWell, Turn
from scheduling.models import MaintenanceJob
from tests.governance.alerts.receiver import SECRET, Receiver, receiving
from tests.providers.host import Host, hosting
from tests.support.factories import make_provider, make_remote, make_secret
from tests.support.processes import eventually

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Start = Callable[..., Maintenance]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts threads that look very often; all are stopped at the end."""
    started: list[Maintenance] = []

    def start() -> Maintenance:
        one = Maintenance(look_every=0.01)
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


def only(*names: str) -> None:
    """Make the rows, and have these jobs due and no others."""
    booking.make_rows(LONG_AGO)
    MaintenanceJob.objects.exclude(pk__in=names).update(next_at=None)


def take_the_place_of(monkeypatch: pytest.MonkeyPatch, *jobs: Upkeep) -> None:
    """Have a catalogue of these jobs alone."""
    for module in (booking, lanes):
        monkeypatch.setattr(module, "CATALOGUE", jobs)
    monkeypatch.setattr(booking, "BY_NAME", {one.name: one for one in jobs})
    booking.make_rows(LONG_AGO)


def job(do: Callable[[Turn], str]) -> Upkeep:
    known = next(one for one in CATALOGUE if one.name == "alerts")
    return replace(known, do=do, every_seconds=1, lane=Lane.QUICK)


def checked() -> int:
    return ProviderProbe.objects.exclude(checked_at=None).count()


def threads() -> int:
    return sum(one.name.startswith("maintenance") for one in threading.enumerate())


@pytest.mark.django_db(transaction=True)
def test_each_provider_is_probed_once_by_however_many(start: Start, host: Host) -> None:
    for _ in range(3):
        make_remote(base_url=host.base_url)
    only("health-probes")

    for _ in range(3):
        start()
    eventually(checked, lambda count: count == 3, what="three probes")

    assert len(host.asked) == 3
    assert all(ProviderProbe.objects.values_list("ok", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_host_that_hangs_does_not_keep_it_from_stopping(start: Start, host: Host) -> None:
    host.hold()
    make_remote(base_url=host.base_url)
    only("health-probes")
    one = start()
    assert host.asking.wait(30)

    began = time.monotonic()
    one.stop()

    assert time.monotonic() - began < maintenance.PATIENCE
    assert threads() == 0
    assert checked() == 0
    # Whoever comes after may look again in a minute, and has the job at once.
    assert ProviderProbe.objects.get().claimed_at is not None
    row = MaintenanceJob.objects.get(pk="health-probes")
    assert (row.owner, row.lease_until, row.last_finished_at) == (None, None, None)


@pytest.mark.django_db(transaction=True)
def test_an_alert_is_raised_and_sent_once_by_however_many(start: Start) -> None:
    only("alerts", "deliveries")
    with receiving() as receiver:
        Channel.objects.create(
            name="hook",
            url=receiver.url,
            secret=make_secret(SECRET),
            allow_private_addresses=True,
        )
        Breaker.objects.create(provider=make_provider(name="far"), state="open", opened_at=NOON)

        for _ in range(3):
            start()
        delivered = Delivery.objects.filter(status="delivered")
        eventually(delivered.count, lambda count: count == 1, what="a delivery")

    assert Delivery.objects.count() == len(receiver.received) == 1


def make_hook(receiver: Receiver, name: str) -> Channel:
    return Channel.objects.create(
        name=name, url=receiver.url, secret=make_secret(SECRET), allow_private_addresses=True
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seconds", [0.05, 60.0], ids=["turns end", "one turn"])
def test_a_receiver_that_hangs_holds_up_nobody_elses_message(
    start: Start, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(errands, "DELIVERING_SECONDS", seconds)
    only("deliveries")
    with receiving() as hangs, receiving() as answers:
        hangs.answers.clear()
        slow, quick = make_hook(hangs, "slow"), make_hook(answers, "quick")
        first = send_test(slow, database_now())
        start()
        eventually(lambda: hangs.received, bool, what="a message to the slow one")
        second = send_test(quick, database_now())

        statuses = Delivery.objects.values_list("status", flat=True)
        eventually(
            lambda: statuses.get(pk=second.pk), "delivered".__eq__, what="the other's", patience=5
        )
        # The slow one has had neither an answer nor a time-out.
        assert Delivery.objects.get(pk=first.pk).log == []

        hangs.answers.set()
        eventually(lambda: statuses.get(pk=first.pk), "delivered".__eq__, what="the slow one's")
    assert len(hangs.received) == len(answers.received) == 1


@pytest.mark.django_db(transaction=True)
def test_one_at_a_time_and_what_goes_wrong_is_shown_and_ends_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends = iter([ValueError("a fault"), OperationalError("away\nfor long"), NotWell("Not well.")])
    at_it = threading.Semaphore(1)
    went_on = threading.Event()

    def do(turn: Turn) -> str:
        assert at_it.acquire(blocking=False), "two at once"
        try:
            error = next(ends, None)
            if error is not None:
                raise error
        finally:
            at_it.release()
        went_on.set()
        return "All is well."

    take_the_place_of(monkeypatch, job(do))
    row = MaintenanceJob.objects.filter(pk="alerts")

    def failed(times: int) -> None:
        """Have the job due again once it has failed so often."""
        eventually(
            lambda: row.get().failures_in_a_row, lambda count: count == times, what="a failure"
        )

    with caplog.at_level(logging.WARNING, logger="scheduling.maintenance"):
        for _ in range(2):
            start()
        for times, words in enumerate(("It failed (ValueError)", "The database failed", "Not"), 1):
            failed(times)
            assert row.get().last_result.startswith(words)
            row.update(next_at=LONG_AGO)
        assert went_on.wait(30)
    eventually(lambda: row.get().last_status, lambda status: status == "ok", what="the end")

    assert row.get().failures_in_a_row == 0
    assert [one.getMessage() for one in caplog.records if one.name.startswith("scheduling.m")] == [
        "Alerts failed; trying again.",
        "Alerts: the database failed: away",
    ]


def test_it_waits_for_the_database_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = iter([OperationalError("away\nfor long"), OperationalError("still away")])
    back = threading.Event()
    take_the_place_of_nothing = (job(lambda turn: ""),)
    monkeypatch.setattr(lanes, "CATALOGUE", take_the_place_of_nothing)

    def due(names: object, now: datetime) -> list[MaintenanceJob]:
        if names:
            error = next(errors, None)
            if error is not None:
                raise error
            back.set()
        return []

    monkeypatch.setattr(booking, "make_rows", lambda now: None)
    monkeypatch.setattr(booking, "due", due)
    with caplog.at_level(logging.WARNING, logger="scheduling.maintenance"):
        one = Maintenance(look_every=0.001, clock=lambda: NOON)
        one.start()
        assert back.wait(30)
        began = time.monotonic()
        one.stop()

    assert time.monotonic() - began < maintenance.PATIENCE
    assert threads() == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Maintenance waits for the database: away",
        "The database is back; maintenance goes on.",
    ]


@pytest.mark.django_db(transaction=True)
def test_of_a_job_with_nothing_to_do_little_is_written(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def nothing_to_do(now: datetime) -> bool:
        asked.set()
        return True

    take_the_place_of(monkeypatch, replace(job(lambda turn: "Nothing."), is_idle=nothing_to_do))
    row = MaintenanceJob.objects.filter(pk="alerts")
    start()
    eventually(lambda: row.get().last_result, bool, what="a result")
    first = row.get().last_finished_at

    assert asked.wait(30)
    assert row.get().last_finished_at == first

    row.update(last_started_at=LONG_AGO)
    second = eventually(
        lambda: row.get().last_finished_at, lambda at: at != first, what="a sign of life"
    )

    # Whoever wants it now is not told to wait for the next sign of life.
    operating.run_now(row.get(), now=database_now())
    eventually(lambda: row.get().last_finished_at, lambda at: at != second, what="it", patience=15)
