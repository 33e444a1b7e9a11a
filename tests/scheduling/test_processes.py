"""The real worker and scheduler: each time once, whoever is killed, and clean ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.utils import timezone

from governance.models import ModelCall
from providers.models import Provider, ProviderKind, ProviderModel, ProviderProbe
from scheduling import handling, jobs
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from tests.providers.host import hosting
from tests.scheduling.conftest import MakeJob
from tests.support.factories import make_remote
from tests.support.processes import PATIENCE, ChildProcess, alive, descendants, eventually

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]
Start = Callable[[str], ChildProcess]
# Two workers, a pusher and a monitor.
CHILDREN = 4


@pytest.fixture
def model() -> ProviderModel:
    """A model that answers by itself."""
    provider = Provider.objects.create(name="rehearsal", kind=ProviderKind.DETERMINISTIC)
    model: ProviderModel = ProviderModel.objects.create(
        provider=provider,
        name="echo",
        is_default=True,
        context_window=8000,
        max_output_tokens=100,
    )
    return model


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command on the test's own database; all are stopped at the end."""
    environment = {
        **os.environ,
        "DATABASE_URL": _test_database(),
        "PALYRA_OWNER_TIMEOUT": "4",
        "PYTHONUNBUFFERED": "1",
    }
    with ExitStack() as children:

        def start(role: str) -> ChildProcess:
            command = [sys.executable, "manage.py", role]
            child = ChildProcess(role, command, environment=environment | {"PALYRA_ROLE": role})
            children.enter_context(child)
            child.wait_for_line(f"The {role} starts")
            return child

        yield start


def _test_database() -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def _family(worker: ChildProcess) -> list[int]:
    """The worker's own processes, awaited until there are all of them."""
    return eventually(
        lambda: descendants(worker.pid), lambda pids: len(pids) == CHILDREN, what="all children"
    )


def _succeeded() -> int:
    return CronRun.objects.filter(status=RunStatus.SUCCEEDED).count()


def _assert_all_gone(pids: list[int]) -> None:
    eventually(lambda: [pid for pid in pids if alive(pid)], lambda left: not left, what="all gone")


def test_two_schedulers_run_each_time_once_even_if_one_is_killed(
    start: Start, model: ProviderModel, make_job: MakeJob
) -> None:
    for _ in range(3):
        make_job(every_seconds=1)
    worker = start("worker")
    schedulers = [start("scheduler"), start("scheduler")]

    eventually(_succeeded, lambda count: count >= 6, what="six runs")
    schedulers[0].send(signal.SIGKILL)
    already = _succeeded()
    eventually(_succeeded, lambda count: count >= already + 6, what="six more runs")
    for job in CronJob.objects.all():
        jobs.pause(job, reason="Seen enough.", now=timezone.now())
    active = CronRun.objects.filter(status__in=ACTIVE)
    eventually(active.count, lambda count: count == 0, what="all at rest")

    # Every second since the first is a run's or is counted by the next one.
    for job in CronJob.objects.all():
        runs = list(job.runs.order_by("slot"))
        spanned = (runs[-1].slot - runs[0].slot).total_seconds() + 1
        assert sum(1 + run.missed_before for run in runs[1:]) + 1 == spanned
    succeeded = CronRun.objects.filter(status=RunStatus.SUCCEEDED)
    assert all(run.output and run.input_tokens and run.output_tokens for run in succeeded)
    called = [call.run_id for call in ModelCall.objects.all()]
    assert len(called) == len(succeeded)
    assert set(called) == {run.id for run in succeeded}
    assert schedulers[1].stop() == 0
    assert worker.stop() == 0


def test_a_worker_stops_cleanly_and_finishes_what_is_in_hand(
    start: Start, model: ProviderModel, make_job: MakeJob
) -> None:
    Provider.objects.update(rehearsal_latency_ms=2000)
    worker = start("worker")
    family = _family(worker)
    run = handling.run_now(make_job(), now=timezone.now())
    running = CronRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    eventually(running.exists, bool, what="the run is under way")

    assert worker.stop() == 0

    run.refresh_from_db()
    assert run.status == RunStatus.SUCCEEDED
    assert "The worker has stopped." in worker.output
    _assert_all_gone(family)


def test_a_second_request_to_stop_breaks_off_what_is_in_hand(
    start: Start, model: ProviderModel, make_job: MakeJob
) -> None:
    Provider.objects.update(rehearsal_latency_ms=60_000)
    worker = start("worker")
    family = _family(worker)
    run = handling.run_now(make_job(), now=timezone.now())
    running = CronRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    eventually(running.exists, bool, what="the run is under way")

    worker.send(signal.SIGTERM)
    eventually(lambda: descendants(worker.pid), lambda pids: len(pids) < CHILDREN, what="stopping")
    worker.send(signal.SIGTERM)

    assert worker.wait() == 1
    assert "Asked a second time to stop" in worker.output
    _assert_all_gone(family)


@pytest.mark.parametrize("victim", range(CHILDREN))
def test_if_one_of_a_workers_processes_is_killed_all_end(start: Start, victim: int) -> None:
    worker = start("worker")
    family = _family(worker)

    os.kill(family[victim], signal.SIGKILL)

    assert worker.wait() == 1
    assert f"Process {family[victim]} was killed by SIGKILL; all end." in worker.output
    _assert_all_gone(family)


def test_if_the_main_process_is_killed_none_outlives_it(start: Start) -> None:
    worker = start("worker")
    family = _family(worker)

    worker.send(signal.SIGKILL)

    assert worker.wait() == -signal.SIGKILL
    _assert_all_gone(family)


def test_a_run_whose_worker_is_killed_is_unconfirmed_and_not_run_again(
    start: Start, model: ProviderModel, make_job: MakeJob
) -> None:
    Provider.objects.update(rehearsal_latency_ms=60_000)
    start("scheduler")
    worker = start("worker")
    run = handling.run_now(make_job(), now=timezone.now())
    called = ModelCall.objects.filter(run_id=run.pk)
    eventually(called.exists, bool, what="the call is held for")

    worker.send(signal.SIGKILL)
    start("worker")

    closed = CronRun.objects.filter(pk=run.pk, status=RunStatus.UNCONFIRMED)
    eventually(closed.exists, bool, what="the run is unconfirmed")
    assert "The worker ended during the call" in closed.get().reason
    assert called.count() == 1


def test_a_scheduler_stops_cleanly_while_it_sleeps(start: Start) -> None:
    scheduler = start("scheduler")
    scheduler.send(signal.SIGINT)

    assert scheduler.wait() == 0
    assert "The scheduler has stopped." in scheduler.output


def test_a_scheduler_probes_providers_beside_its_work(start: Start) -> None:
    with hosting("small") as host:
        provider = make_remote(base_url=host.base_url)
        schedulers = [start("scheduler"), start("scheduler")]
        probe = ProviderProbe.objects.filter(provider=provider).exclude(checked_at=None)
        eventually(probe.exists, bool, what="the probe")
        assert [scheduler.stop() for scheduler in schedulers] == [0, 0]

    assert probe.get().ok
    assert len(host.asked) == 1


def test_a_host_that_hangs_does_not_keep_a_scheduler_from_stopping(start: Start) -> None:
    with hosting("small") as host:
        host.hold()
        make_remote(base_url=host.base_url)
        scheduler = start("scheduler")
        assert host.asking.wait(PATIENCE)

        assert scheduler.stop() == 0
