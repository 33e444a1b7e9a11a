"""Runs that are due are taken once, by whoever has room."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.claiming import claim, left_lying
from scheduling.dispatcher import AHEAD
from scheduling.models import CronRun, RunStatus
from tests.scheduling.conftest import MakeRun

OWNER = uuid4()


def test_a_claimed_run_is_its_owners_and_its_call_has_a_name(make_run: MakeRun) -> None:
    run, now = make_run(), timezone.now()

    (claimed,) = claim(OWNER, foreground=1, background=1, now=now)

    stored = CronRun.objects.get()
    assert (claimed.pk, stored.status, stored.owner) == (run.pk, RunStatus.RUNNING, OWNER)
    assert (stored.attempt, stored.started_at) == (1, now)
    assert stored.call_id == claimed.call_id is not None
    assert claim(uuid4(), foreground=1, background=1, now=now) == []


@pytest.mark.parametrize(
    ("due_in", "starts_in"), [(0.05, 0.05), (0.0, 0.0), (-3.0, 0.0), (30.0, AHEAD.total_seconds())]
)
def test_a_run_dispatched_ahead_of_its_time_starts_when_it_is_due(
    make_run: MakeRun, due_in: float, starts_in: float
) -> None:
    run, now = make_run(), timezone.now()
    CronRun.objects.filter(pk=run.pk).update(due_at=now + timedelta(seconds=due_in), sent_at=now)

    (claimed,) = claim(OWNER, foreground=1, background=1, now=now)

    assert claimed.started_at == now + timedelta(seconds=starts_in)


def test_only_what_is_due_and_has_a_place_is_taken(make_run: MakeRun) -> None:
    now = timezone.now()
    later, waiting, ended = make_run(), make_run(), make_run()
    CronRun.objects.filter(pk=later.pk).update(due_at=now + timedelta(seconds=5), sent_at=None)
    CronRun.objects.filter(pk=waiting.pk).update(lane=None)
    CronRun.objects.filter(pk=ended.pk).update(status=RunStatus.CANCELLED)

    assert claim(OWNER, foreground=9, background=9, now=now) == []
    assert len(claim(OWNER, foreground=9, background=9, now=now + timedelta(seconds=5))) == 1


def test_a_worker_whose_clock_is_behind_takes_what_it_is_told_of(make_run: MakeRun) -> None:
    run, behind = make_run(), timezone.now() - timedelta(minutes=5)

    assert [one.pk for one in claim(OWNER, foreground=1, background=1, now=behind)] == [run.pk]


def test_what_was_claimed_and_nobody_knows_of_is_found(make_run: MakeRun) -> None:
    known, lost = make_run(owner=OWNER), make_run(owner=OWNER)
    make_run(owner=uuid4())

    assert [one.pk for one in left_lying(OWNER, {known.pk})] == [lost.pk]


def test_a_crowd_of_scheduled_runs_does_not_take_the_room_of_those_who_wait(
    make_run: MakeRun,
) -> None:
    scheduled = [make_run() for _ in range(4)]
    by_people = [make_run(trigger="manual") for _ in range(3)]
    now = timezone.now()

    first = claim(OWNER, foreground=2, background=3, now=now)
    second = claim(OWNER, foreground=0, background=3, now=now)

    # What is longest due comes first.
    assert [run.pk for run in first] == [run.pk for run in by_people[:2] + scheduled[:3]]
    assert [run.pk for run in second] == [scheduled[3].pk]


@pytest.mark.django_db(transaction=True)
def test_workers_that_ask_at_once_share_the_runs(make_run: MakeRun) -> None:
    runs = {make_run().pk for _ in range(30)}
    start, now = threading.Barrier(3), timezone.now()

    def take(number: int) -> list[UUID]:
        taken: list[UUID] = []
        try:
            start.wait()
            while found := claim(UUID(int=number), foreground=4, background=4, now=now):
                taken += [run.pk for run in found]
        finally:
            connection.close()
        return taken

    with ThreadPoolExecutor(3) as pool:
        taken = [pk for found in pool.map(take, range(3)) for pk in found]

    assert sorted(taken) == sorted(runs)
