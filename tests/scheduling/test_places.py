"""The places of jobs, read and given away: of a long line, no more than there are places."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling import places
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.overlap import Occupant
from tests.scheduling.conftest import MakeJob

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MANY = 50


def make_run(job: CronJob, minutes: int, **fields: Any) -> CronRun:
    values = {"trigger": RunTrigger.REPLAY, "queued_at": NOON, **fields}
    run: CronRun = CronRun.objects.create(job=job, slot=NOON + timedelta(minutes=minutes), **values)
    return run


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each run that was read."""
    found: list[int] = []

    def occupant(**values: Any) -> Occupant:
        found.append(len(found))
        return Occupant(**values)

    monkeypatch.setattr(places, "Occupant", occupant)
    return found


@pytest.fixture
def make_line(make_job: MakeJob) -> Any:
    """Makes a job with a run under way, many that wait, and one of a scheduled time behind them."""

    def make(**fields: Any) -> tuple[CronJob, list[CronRun]]:
        job = make_job(**fields)
        make_run(job, -1, status=RunStatus.RUNNING, lane=0)
        make_run(job, -2, status=RunStatus.SUCCEEDED, finished_at=NOON)
        # Not in the order of their slots.
        line = [make_run(job, number) for number in reversed(range(MANY))][::-1]
        line.append(make_run(job, MANY, trigger=RunTrigger.SCHEDULE))
        return job, line

    return make


@pytest.mark.parametrize("overlap", ["forbid", "queue_one", "allow"])
def test_of_a_line_the_head_and_the_scheduled_run_are_read(
    make_line: Any, make_job: MakeJob, overlap: str
) -> None:
    job, line = make_line(overlap=overlap, max_parallel=2)
    empty = make_job(overlap=overlap)

    taken = places.read([job, empty])

    head = taken[job.pk].capacity
    assert [one.id for one in taken[job.pk].waiting[:head]] == [run.pk for run in line[:head]]
    assert [one.id for one in taken[job.pk].waiting if one.scheduled] == [line[-1].pk]
    assert len(taken[job.pk].waiting) <= head + 2
    assert taken[job.pk].lanes.keys() == {0}
    assert taken[empty.pk].has_room


def test_whatever_a_newer_run_is_to_replace_is_read(make_line: Any) -> None:
    job, line = make_line(overlap="replace")

    assert [one.id for one in places.read([job])[job.pk].waiting] == [run.pk for run in line]


@pytest.mark.parametrize(("overlap", "given"), [("forbid", 1), ("replace", 1), ("allow", 3)])
def test_places_are_given_away_without_reading_the_whole_line(
    make_line: Any, read: list[int], overlap: str, given: int
) -> None:
    job, line = make_line(overlap=overlap, max_parallel=3)
    CronRun.objects.filter(lane=0).update(status=RunStatus.SUCCEEDED, finished_at=NOON, lane=None)

    assert places.promote([job], timezone.now()) == given

    lanes = CronRun.objects.filter(lane__isnull=False).order_by("lane")
    assert list(lanes.values_list("pk", flat=True)) == [run.pk for run in line[:given]]
    assert len(read) == given + 1


def test_lines_of_several_jobs_are_each_read_from_their_head(make_line: Any) -> None:
    (wide, wide_line), (narrow, narrow_line) = (
        make_line(overlap=overlap, max_parallel=4) for overlap in ("allow", "forbid")
    )

    taken = places.read([wide, narrow])

    assert [one.id for one in taken[wide.pk].waiting[:4]] == [run.pk for run in wide_line[:4]]
    assert taken[narrow.pk].waiting[0].id == narrow_line[0].pk
