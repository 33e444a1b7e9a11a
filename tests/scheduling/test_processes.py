"""The real worker and scheduler: each time once, whoever is killed, and clean ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from governance import approvals
from governance.models import Approval, ModelCall
from providers.models import Provider, ProviderModel, ProviderProbe
from scheduling import handling, jobs
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from tests.providers.host import hosting
from tests.scheduling.conftest import MakeJob, Start
from tests.support.factories import make_model, make_policy, make_price, make_remote
from tests.support.processes import PATIENCE, ChildProcess, alive, descendants, eventually
from tests.support.upstream import Upstream, start_upstream

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]
# Two workers, a pusher and a monitor.
CHILDREN = 4


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


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


def test_slow_models_keep_no_others_waiting_and_their_calls_can_be_broken_off(
    start: Start, model: ProviderModel, make_job: MakeJob, upstream: Upstream
) -> None:
    remote = make_remote(base_url=upstream.base_url)
    make_price(make_model(provider=remote, name="slow", context_window=8000))
    upstream.hold("slow")
    # Twice as many as there are workers, with two messages or more.
    slow = [make_job(model="slow", overlap="replace") for _ in range(4)]
    runs = [handling.run_now(job, now=timezone.now()) for job in slow]
    start("worker")
    upstream.wait_for_calls("slow", 4)

    quick = handling.run_now(make_job(), now=timezone.now())
    done = CronRun.objects.filter(pk=quick.pk, status=RunStatus.SUCCEEDED)
    eventually(done.exists, bool, what="the quick run")
    assert upstream.answered("slow") == 0

    handling.cancel(runs[0], now=timezone.now(), reason="No longer wanted.")
    upstream.wait_for_disconnects("slow", 1)
    # A newer run of a job that lets it takes the place of the one under way.
    newer = handling.run_now(slow[1], now=timezone.now())
    upstream.wait_for_disconnects("slow", 2)
    upstream.wait_for_calls("slow", 5)
    upstream.release("slow")

    ids = [*(run.pk for run in runs), newer.pk]
    at_rest = CronRun.objects.filter(pk__in=ids, status__in=ACTIVE)
    eventually(at_rest.count, lambda count: count == 0, what="all at rest")
    cancelled, replaced, *others = (CronRun.objects.get(pk=pk) for pk in ids)
    assert (cancelled.status, cancelled.reason) == (RunStatus.CANCELLED, "No longer wanted.")
    assert (replaced.status, replaced.finished_at is not None) == (RunStatus.CANCELLED, True)
    assert {run.status for run in others} == {RunStatus.SUCCEEDED}
    # What was broken off is charged, and all of it is in the ledger, once.
    assert cancelled.cost is not None
    assert ModelCall.objects.filter(run_id__in=ids).count() == 5


def test_a_run_that_needs_approval_waits_for_it_and_then_runs_once(
    start: Start, model: ProviderModel, make_job: MakeJob
) -> None:
    make_price(model)
    make_policy(hard_limit=1, action="approval")
    approved, denied = (handling.run_now(make_job(), now=timezone.now()) for _ in range(2))
    start("worker")
    start("scheduler")
    waiting = CronRun.objects.filter(status=RunStatus.WAITING_FOR_APPROVAL)
    eventually(waiting.count, lambda count: count == 2, what="both wait")
    assert not Approval.objects.exclude(status="pending").exists()

    decider = get_user_model().objects.create_superuser("decider")
    for run, approve in ((approved, True), (denied, False)):
        call_id = CronRun.objects.get(pk=run.pk).call_id
        approvals.decide(
            approval_id=Approval.objects.get(call_id=call_id).pk,
            decided_by=decider,
            approve=approve,
            comment="",
            now=timezone.now(),
        )
    eventually(waiting.count, lambda count: count == 0, what="neither waits")

    approved.refresh_from_db()
    denied.refresh_from_db()
    assert (approved.status, denied.status) == (RunStatus.SUCCEEDED, RunStatus.DENIED)
    assert approved.output
    assert (approved.cost or 0) > 0
    assert "decider denied" in denied.reason
    assert ModelCall.objects.filter(status="succeeded").count() == 1


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
