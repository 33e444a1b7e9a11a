"""A worker process's runs under way, with calls that only pretend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from governance.runtime import BlockingRuntime
from scheduling import calling, claiming, crew, handling, patience
from scheduling.crew import Crew
from scheduling.dispatcher import dispatch
from scheduling.endings import Ended, finish
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.outcomes import Attempt
from tests.scheduling.conftest import MakeRun
from tests.support.processes import PATIENCE, eventually

pytestmark = pytest.mark.django_db(transaction=True)


class Loop:
    """Stands for the runtime: a loop in a thread."""

    def __init__(self) -> None:
        self.process_id = uuid4()
        self.runtime = SimpleNamespace(snapshot=SimpleNamespace(registry=None))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def begin(self, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(self.runtime), self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs whose calls were made; no pause is long."""
    calls: list[UUID] = []

    async def make(prepared: calling.Prepared, runtime: Any) -> Attempt:
        calls.append(prepared.run.pk)
        return Attempt(status=RunStatus.SUCCEEDED, columns={"output": "Well."})

    monkeypatch.setattr(calling, "make", make)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(crew, "PAUSE_SECONDS", 0.01)
    return calls


@pytest.fixture
def worker() -> Iterator[Crew]:
    loop = Loop()
    found = Crew(cast(BlockingRuntime, loop))
    yield found
    found.stop()
    loop.stop()


def _lose_the_answers(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Claims are committed, and the answers of the first `count` of them are lost."""
    claim, lost = claiming.claim, 0

    def answer(owner: UUID, *, foreground: int, background: int, now: datetime) -> list[CronRun]:
        nonlocal lost
        found = claim(owner, foreground=foreground, background=background, now=now)
        if lost < count:
            lost += 1
            raise OperationalError("the connection was lost")
        return found

    monkeypatch.setattr(claiming, "claim", answer)


def _all_have_ended() -> bool:
    return not CronRun.objects.exclude(status=RunStatus.SUCCEEDED).exists()


def test_runs_are_made_and_their_ends_written(
    worker: Crew, made: list[UUID], make_run: MakeRun
) -> None:
    runs = {make_run().pk for _ in range(3)}

    assert worker.take() == 3

    eventually(_all_have_ended, bool, what="the ends")
    assert sorted(made) == sorted(runs)


# Once, and so often that whoever took them gave up.
@pytest.mark.parametrize("count", [1, patience.TRIES + 1])
def test_a_claim_whose_answer_was_lost_is_found(
    worker: Crew,
    made: list[UUID],
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    runs = {make_run().pk for _ in range(3)}
    _lose_the_answers(monkeypatch, count)

    if count > patience.TRIES:
        with pytest.raises(OperationalError):
            worker.take()
    else:
        assert worker.take() == 3

    eventually(_all_have_ended, bool, what="the ends")
    assert sorted(made) == sorted(runs)


def test_a_run_whose_end_cannot_be_written_is_not_begun_again(
    worker: Crew, made: list[UUID], make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = make_run(), make_run()

    def fail(ends: Sequence[Ended], now: datetime) -> int:
        if any(end.run.pk == stuck.pk for end in ends):
            # The next claim is made once this run has been given up.
            _lose_the_answers(monkeypatch, 1)
            raise ValueError("a fault")
        return finish(ends, now)

    monkeypatch.setattr(crew, "finish", fail)

    assert worker.take(1) == 1
    ended = CronRun.objects.filter(pk=other.pk, status=RunStatus.SUCCEEDED)
    eventually(ended.exists, bool, what="the other's end")
    worker.stop()

    assert made == [stuck.pk, other.pk]
    # Recovery says in the end what became of it.
    assert CronRun.objects.get(pk=stuck.pk).status == RunStatus.RUNNING


@pytest.mark.parametrize("way", ["cancelled", "replaced"])
def test_a_call_under_way_is_broken_off_within_a_second(
    worker: Crew, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    begun, broken_off = threading.Event(), threading.Event()

    async def make(prepared: calling.Prepared, runtime: Any) -> Attempt:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            broken_off.set()
        return Attempt(status=RunStatus.CANCELLED)

    monkeypatch.setattr(calling, "make", make)
    run = make_run(overlap="replace")
    worker.take()
    assert begun.wait(PATIENCE)

    if way == "cancelled":
        handling.cancel(run, now=timezone.now())
    else:
        later = run.slot + timedelta(hours=1)
        CronJob.objects.update(next_slot=later, due_at=later)
        assert dispatch(later) == 1

    assert broken_off.wait(1)
    ended = CronRun.objects.filter(pk=run.pk, status=RunStatus.CANCELLED)
    eventually(ended.exists, bool, what="the end")
    if way == "replaced":
        assert CronRun.objects.filter(slot=later, lane=0).exists()
        monkeypatch.setattr(calling, "make", _well)
        handling.cancel_all(run.job, now=timezone.now())


async def _well(prepared: calling.Prepared, runtime: Any) -> Attempt:
    return Attempt(status=RunStatus.SUCCEEDED)
