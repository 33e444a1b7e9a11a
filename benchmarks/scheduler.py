"""How late scheduled prompts begin, idle and in a crowd, and what waiting costs.

    .venv/bin/python -m benchmarks.scheduler [--database sqlite] [--seconds 60]

A real scheduler and a real worker run on each database, and on PostgreSQL with Redis for the
messages. A lag is from the scheduled time to the call's entry in the ledger, after which it is
made. Beside each figure stands its ratio to what could be had at best in the same run: the idle
lag, the time that the model alone takes in as many rounds as there is room for, or one core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.databases import DATABASES, REDIS, in_a_process, is_inside

CROWD, SLOW_CROWD, MANY = 50, 1000, 100_000
ROUNDS = 5
LATENCY_SECONDS = 2.0
IDLE_SECONDS = 30


def main() -> None:
    """Measure each database in a process of its own."""
    parser = argparse.ArgumentParser(description="Measure the scheduler.")
    parser.add_argument("--seconds", type=int, default=60, help="how long the idle lag is watched")
    parser.add_argument("--database", choices=(*DATABASES, REDIS), action="append")
    options = parser.parse_args()
    if is_inside():
        _measure(options.seconds)
        return
    for kind in options.database or (*DATABASES, REDIS):
        _say(f"\n{kind}")
        in_a_process("benchmarks.scheduler", "--seconds", str(options.seconds), database=kind)


def _measure(seconds: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from providers import vault

    vault.make_key()
    call_command("migrate", verbosity=0)
    with ExitStack() as until_done:
        scheduler = until_done.enter_context(_process("scheduler"))
        until_done.enter_context(_process("worker"))
        team = _prepare()
        idle = _idle(team, seconds)
        _crowd(team, idle)
        _slow_crowd(team, idle)
        _many(team, scheduler)


@contextmanager
def _process(role: str) -> Iterator[int]:
    from tests.support.processes import ChildProcess

    environment = {**os.environ, "PALYRA_ROLE": role, "PYTHONUNBUFFERED": "1"}
    with ChildProcess(role, [sys.executable, "manage.py", role], environment=environment) as child:
        child.wait_for_line(f"The {role} starts")
        # The worker's own processes come up after that.
        time.sleep(3)
        yield child.pid


def _prepare() -> Any:
    """A team, and a model that answers by itself."""
    from governance.models import Team
    from providers.models import Provider, ProviderKind, ProviderModel

    provider = Provider.objects.create(
        name="rehearsal", kind=ProviderKind.DETERMINISTIC, concurrency_limit=1000
    )
    ProviderModel.objects.create(
        provider=provider,
        name="echo",
        is_default=True,
        context_window=8000,
        max_output_tokens=100,
    )
    return Team.objects.create(slug="bench", name="Bench")


def _make_jobs(team: Any, count: int, at: datetime, **fields: Any) -> list[Any]:
    """Jobs that are due once, at `at`."""
    from scheduling.models import CronJob

    number = CronJob.objects.count()
    return CronJob.objects.bulk_create(
        [
            CronJob(
                team=team,
                name=f"Job {number + one}",
                schedule_kind="at",
                at=at,
                anchor_at=at,
                next_slot=at,
                due_at=at,
                prompt="How are the figures?",
                **fields,
            )
            for one in range(count)
        ],
        batch_size=500,
    )


def _idle(team: Any, seconds: int) -> float:
    """The lag of one job that is due every second; its median."""
    from django.utils import timezone

    from scheduling import jobs
    from scheduling.wakeups import JOBS_CHANGED, announce

    job = jobs.create_job(
        team=team,
        name="Every second",
        schedule_kind="every",
        every_seconds=1,
        prompt="How are the figures?",
        overlap="allow",
        now=timezone.now(),
    )
    time.sleep(seconds + 1)
    jobs.pause(job, reason="Seen enough.", now=timezone.now())
    announce(JOBS_CHANGED)
    time.sleep(1)
    lags = _lags([job.pk])[2:]
    median = statistics.median(lags)
    _say(f"  idle, {len(lags)} runs: {_figures(lags)}")
    _say(f"  of which at the middle: {_parts(job.pk)}")
    return median


def _crowd(team: Any, idle: float) -> None:
    """So many due at one instant: when the last of them begins."""
    last = []
    for _ in range(ROUNDS):
        at = _soon()
        made = _make_jobs(team, CROWD, at)
        _wait_for(made)
        last.append(max(_lags([job.pk for job in made])))
    best, middle = min(last), statistics.median(last)
    _say(
        f"  {CROWD} at one instant, all begun after (best / middle of {ROUNDS}): "
        f"{_ms(best)} / {_ms(middle)} ms, {middle / idle:.0f} times the idle lag"
    )


def _slow_crowd(team: Any, idle: float) -> None:
    from providers.models import Provider
    from scheduling.crew import BACKGROUND_ROOM
    from scheduling.models import CronRun

    Provider.objects.update(rehearsal_latency_ms=round(LATENCY_SECONDS * 1000))
    _touch_providers()
    at = _soon(5)
    made = _make_jobs(team, SLOW_CROWD, at)
    _wait_for(made)
    ids = [job.pk for job in made]
    ends = CronRun.objects.filter(job__in=ids).values_list("finished_at", flat=True)
    took = (max(end for end in ends if end is not None) - at).total_seconds()
    workers = int(os.environ.get("PALYRA_WORKERS", "2"))
    at_best = -(-SLOW_CROWD // (workers * BACKGROUND_ROOM)) * LATENCY_SECONDS
    lags = _lags(ids)
    _say(f"  {SLOW_CROWD:,} due at once, {LATENCY_SECONDS:.0f} s each: {_figures(lags)}")
    _say(
        f"  all of them finished after {took:.1f} s, {took / at_best:.1f} times the model's own "
        f"time in {workers * BACKGROUND_ROOM} places"
    )
    Provider.objects.update(rehearsal_latency_ms=0)
    _touch_providers()


def _touch_providers() -> None:
    """Have every process read the registry again, which it does when a provider is saved."""
    from providers.models import Provider

    for provider in Provider.objects.all():
        provider.save()
    time.sleep(1)


def _many(team: Any, scheduler: int) -> None:
    """What the scheduler's process uses of a core while a hundred thousand jobs wait."""
    from django.utils import timezone

    before = _cpu_shares(scheduler)
    _make_jobs(team, MANY, timezone.now() + timedelta(days=30))
    time.sleep(5)
    after = _cpu_shares(scheduler)
    for name, one, other in zip(("the loop", "the whole process"), before, after, strict=True):
        _say(
            f"  {MANY:,} jobs, none due: {name} {other:.2%} of a core, with none {one:.2%}: "
            f"{other / one if one else 1:.1f} times as much"
        )


def _cpu_shares(pid: int) -> tuple[float, float]:
    """The part of one core that a process's first thread used, in which the scheduler's loop runs,
    and the part that all its threads did, over `IDLE_SECONDS`."""
    before, began = _cpu_seconds(pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    passed = time.monotonic() - began
    loop, whole = (
        (last - first) / passed for first, last in zip(before, _cpu_seconds(pid), strict=True)
    )
    return loop, whole


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """So far, by the first thread and by all of them."""
    ticks = os.sysconf("SC_CLK_TCK")
    first, whole = (
        Path(path).read_text().rpartition(")")[2].split()
        for path in (f"/proc/{pid}/task/{pid}/stat", f"/proc/{pid}/stat")
    )
    return (int(first[11]) + int(first[12])) / ticks, (int(whole[11]) + int(whole[12])) / ticks


def _soon(seconds: int = 2) -> datetime:
    from django.utils import timezone

    return (timezone.now() + timedelta(seconds=seconds)).replace(microsecond=0)


def _wait_for(made: Sequence[Any]) -> None:
    """Until all of the jobs have had their run."""
    from scheduling.models import CronRun, RunStatus
    from scheduling.wakeups import JOBS_CHANGED, announce

    announce(JOBS_CHANGED)
    ids = [job.pk for job in made]
    runs = CronRun.objects.filter(job__in=ids)
    deadline = time.monotonic() + 300
    while runs.filter(status=RunStatus.SUCCEEDED).count() < len(ids):
        if time.monotonic() > deadline:
            raise RuntimeError(f"They do not end: {set(runs.values_list('status', 'reason'))}")
        time.sleep(0.5)


def _lags(job_ids: Sequence[Any]) -> list[float]:
    """Seconds from each scheduled time to the call's entry in the ledger, in order of the times."""
    from governance.models import ModelCall
    from scheduling.models import CronRun

    runs = CronRun.objects.filter(job__in=job_ids).exclude(call_id=None).order_by("slot")
    slots = dict(runs.values_list("call_id", "slot"))
    entered = dict(ModelCall.objects.filter(job_id__in=job_ids).values_list("pk", "admitted_at"))
    return [(entered[pk] - slot).total_seconds() for pk, slot in slots.items() if pk in entered]


def _parts(job_id: Any) -> str:
    """Where the lag of one job's runs comes from, in milliseconds at the middle."""
    from governance.models import ModelCall
    from scheduling.models import CronRun

    runs = CronRun.objects.filter(job=job_id).exclude(call_id=None).order_by("slot")[2:]
    entered = dict(ModelCall.objects.filter(job_id=job_id).values_list("pk", "admitted_at"))
    times = [
        (run.slot, run.queued_at, run.started_at, entered[run.call_id])
        for run in runs
        if run.call_id in entered and run.started_at is not None
    ]
    names = ("the scheduler's waking", "the worker's", "the entry")
    middles = [
        statistics.median((row[part + 1] - row[part]).total_seconds() for row in times)
        for part in range(len(names))
    ]
    return ", ".join(f"{name} {_ms(middle)}" for name, middle in zip(names, middles, strict=True))


def _figures(lags: Sequence[float]) -> str:
    ordered = sorted(lags)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    median = statistics.median(ordered)
    return (
        f"lag p50 {_ms(median)}, p99 {_ms(p99)}, longest {_ms(ordered[-1])} ms "
        f"(p99 is {p99 / median:.1f} times p50)"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
