"""Two schedulers and two workers, killed at random for a minute: no run is made twice, and none is
lost."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from django.db import connection
from django.utils import timezone

from governance.models import ModelCall
from scheduling import jobs
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from tests.scheduling.conftest import MakeJob, Start
from tests.support.factories import make_model, make_price, make_remote
from tests.support.faults import Behaviour
from tests.support.processes import eventually
from tests.support.upstream import start_upstream

SEED, STORM_SECONDS, CALM_SECONDS = 5, 60.0, 2.5
ROLES = ("scheduler", "worker") * 2
# Each run asks something that no other asks.
PROMPT = "{{ job }} at {{ scheduled_at|date('%H:%M:%S') }}"
ENDS = {RunStatus.SUCCEEDED, RunStatus.UNCONFIRMED, RunStatus.MISSED, RunStatus.SKIPPED}

# Several processes share PostgreSQL; SQLite is for one machine, where `up` restarts them.
if connection.vendor == "postgresql":

    @pytest.mark.processes
    @pytest.mark.django_db(transaction=True)
    def test_no_run_is_made_twice_and_none_is_lost(start: Start, make_job: MakeJob) -> None:
        random = Random(SEED)
        with start_upstream() as upstream:
            remote = make_remote(base_url=upstream.base_url, concurrency_limit=None)
            make_price(make_model(provider=remote, name="stormy", is_default=True))
            upstream.behave("stormy", Behaviour(latency=0.5))
            for number in range(4):
                # The last of them catch up with what they missed.
                make_job(
                    every_seconds=1 + number % 2,
                    prompt=PROMPT,
                    misfire="catch_up" if number > 1 else "run_once",
                    overlap="allow",
                    max_parallel=20,
                )
            fleet = [start(role) for role in ROLES]
            killed = Counter[str]()
            end = time.monotonic() + STORM_SECONDS
            while time.monotonic() < end:
                time.sleep(random.random() * CALM_SECONDS)
                victim = random.randrange(len(fleet))
                fleet[victim].send(signal.SIGKILL)
                fleet[victim].wait()
                killed[ROLES[victim]] += 1
                fleet[victim] = start(ROLES[victim], await_it=False)
            for job in CronJob.objects.all():
                jobs.pause(job, reason="The storm is over.", now=timezone.now())
            open_runs = [job.runs.filter(status__in=ACTIVE) for job in CronJob.objects.all()]
            eventually(
                lambda: sum(runs.count() for runs in open_runs),
                lambda count: count == 0,
                what="all at rest",
            )
            asked = Counter(call.prompt for call in upstream.received("stormy"))

        assert len(killed) == len(set(ROLES))
        assert killed.total() > 20
        assert set(asked.values()) == {1}
        for job in CronJob.objects.all():
            runs = list(job.runs.order_by("slot"))
            assert {RunStatus(run.status) for run in runs} <= ENDS, [r.reason for r in runs]
            # Every time since the first has a run, or is counted by one.
            slots = (runs[-1].slot - runs[0].slot) / timedelta(seconds=job.every_seconds or 1)
            assert sum(1 + run.missed_before for run in runs[1:]) == slots
        calls = Counter(ModelCall.objects.exclude(cost=0).values_list("run_id", flat=True))
        assert set(calls.values()) == {1}
        succeeded = CronRun.objects.filter(status=RunStatus.SUCCEEDED).count()
        assert succeeded > 30
        assert len(asked) >= succeeded
