"""A simulated fleet: schedulers and workers that crash, fall silent and are slow, by a clock that
is put forward and back. Everything but the calls themselves is real."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import (
    CallStatus,
    KeptCall,
    ModelCall,
    ProcessHeartbeat,
    Surface,
    TaskClass,
)
from providers.identifiers import new_id
from scheduling import (
    cancelling,
    claiming,
    dispatcher,
    due,
    handling,
    jobs,
    kept_runs,
    messages,
)
from scheduling.endings import Ended, finish
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from scheduling.outcomes import Attempt
from scheduling.planning import Plan, plan
from scheduling.recovery import DELIVERY_PATIENCE, recover
from tests.scheduling.fleet_audit import Audit
from tests.scheduling.fleet_jobs import END, START

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=number) for number in (1, 60, 3600, 86400))
OWNER_TIMEOUT = timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT)
SCHEDULERS, WORKERS = 3, 4
# Odds of what goes wrong, each time it could.
CRASH_IN_TRANSACTION = 0.004
OVERTAKEN = 0.03
LOST_MESSAGE = REPEATED_MESSAGE = 0.01
ONE_IS_FASTEST = 0.7
NOT_BEGUN = 0.2
CALL_SECONDS = 30
SLOW, SLOW_SECONDS = 0.12, (180, 300, 20 * 60, 45 * 60, 55 * 60)
# Should clocks be put forward by an hour meanwhile.
RECOVERY_MAY_GIVE_UP = 600
OUTCOMES = (
    (0.84, Attempt(status=RunStatus.SUCCEEDED, columns={"output": "All is well."})),
    (0.06, Attempt(status=RunStatus.FAILED, failure_class="server_error", passes=True)),
    (0.04, Attempt(status=RunStatus.FAILED, failure_class="invalid_request")),
    (0.02, Attempt(status=RunStatus.FAILED, deferred=True, retry_after=20.0)),
    (0.02, Attempt(status=RunStatus.BLOCKED_BY_BUDGET, reason="The budget is used up.")),
    (0.02, Attempt(status=RunStatus.WAITING_FOR_APPROVAL)),
)
TOO_LONG = Attempt(status=RunStatus.FAILED, failure_class="provider_timeout", passes=True)
CANCELLED = Attempt(status=RunStatus.CANCELLED)


class CrashError(Exception):
    """A process ends in the middle of a transaction."""


@dataclass(slots=True, eq=False)
class Call:
    """A run under way: the model's answer is only waited for."""

    run: CronRun
    outcome: Attempt
    # In the ledger, so that the provider may have had it.
    entered: bool
    # Until recovery has given the run up for lost.
    owned: bool = True


@dataclass(slots=True, eq=False)
class Worker:
    """A worker process. While it is silent it stands still, and goes on later as if nothing was."""

    id: UUID = field(default_factory=new_id)
    alive: bool = True
    silent_until: datetime = START
    calls: dict[UUID, Call] = field(default_factory=dict)


def call_of(run: CronRun) -> UUID:
    """The name of the call of the run's present attempt."""
    assert run.call_id is not None
    return run.call_id


class Fleet:
    """`run` lets 30 days go by, and then waits until all is done."""

    def __init__(self, made: list[CronJob], random: Random) -> None:
        self.random = random
        self.audit = Audit({job.pk: job for job in made})
        self.time, self.skew = START, timedelta()
        self._schedulers = [True] * SCHEDULERS
        self._workers: list[Worker] = []
        self._paused: set[UUID] = set()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = count()
        self._ends: dict[tuple[datetime, UUID], list[Call]] = {}
        # What is to befall a worker as soon as one has work under way.
        self._in_store: list[Callable[[], None]] = []
        self._overtaking = self._told = False
        self._next_due: datetime | None = None
        self._send, self._plan = messages.tell, plan

    @property
    def now(self) -> datetime:
        """What clocks show."""
        return self.time + self.skew

    def run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Simulate everything."""
        monkeypatch.setattr(timezone, "now", lambda: self.now)
        monkeypatch.setattr(messages, "tell", self._tell)
        monkeypatch.setattr(dispatcher, "plan", self._plan_or_be_overtaken)
        monkeypatch.setattr("scheduling.endings.random.random", self.random.random)
        for _ in range(WORKERS):
            self._start_worker()
        self._look_ahead()
        self._foresee()
        while self.time < END:
            self._deliver()
            self._go_on()
        self._finish_what_is_open()

    def _finish_what_is_open(self) -> None:
        self._schedulers = [True] * SCHEDULERS
        self._start_worker()
        self._turn()
        # Nothing more is begun.
        CronJob.objects.update(retry_at=END + 30 * DAY)
        self._look_ahead()
        while CronRun.objects.filter(status__in=ACTIVE).exists() and self.time < END + 3 * DAY:
            self._deliver()
            self._go_on()

    # The clock, and what happens when.

    def _at(self, time: datetime, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time, self.time), next(self._number), event))

    def _after(self, delay: timedelta, event: Callable[[], None]) -> None:
        self._at(self.time + delay, event)

    def _go_on(self) -> None:
        """To the next event, or the next turn of a scheduler, whichever comes first."""
        soonest = self._next_due if any(self._schedulers) else None
        upcoming = self._events[0][0]
        if soonest and soonest - self.skew <= upcoming:
            self.time = max(soonest - self.skew, self.time)
            self._turn()
        else:
            self.time = upcoming
            while self._events and self._events[0][0] == self.time:
                heapq.heappop(self._events)[2]()

    def _look_ahead(self) -> None:
        """Find out when a scheduler is to wake up, for which there may be another time now."""
        self._next_due = due.next_due()

    def _foresee(self) -> None:
        for number in range((END - START + 4 * DAY) // (3 * HOUR)):
            self._at(START + 3 * HOUR * number, self._recover)
        for times, mishap in (
            (24, self._crash_a_scheduler),
            (7, self._crash_all_schedulers),
            (40, lambda: self._in_store.append(self._crash_a_worker)),
            (20, lambda: self._in_store.append(self._silence_a_worker)),
            (30, lambda: self._in_store.append(self._cancel_a_run)),
            (20, self._cancel_a_run),
            (8, self._jump),
            (40, self._run_a_job_now),
            (25, self._review),
        ):
            for _ in range(times):
                self._at(START + (END - START) * self.random.random(), mishap)

    def _jump(self) -> None:
        """Clocks are put forward or back by an hour, or to what they were."""
        self.skew = timedelta() if self.skew else self.random.choice((-HOUR, HOUR))
        self.audit.happened["jumps"] += 1

    # Schedulers.

    def _turn(self) -> None:
        """Some of those alive wake up, one after the other; what one leaves the next may take."""
        alive = [number for number, lives in enumerate(self._schedulers) if lives]
        for number in self.random.sample(alive, min(len(alive), self.random.choice((1, 1, 1, 2)))):
            try:
                dispatcher.dispatch(self.now, ahead=dispatcher.AHEAD)
                dispatcher.release(self.now)
            except CrashError:
                self._crash_scheduler(number)
        if self.audit.dispatched(self.now):
            self._break_off_cancelled()
        self._look_ahead()

    def _plan_or_be_overtaken(self, *args: Any, **kwargs: Any) -> Plan:
        """Seldom, another scheduler has its whole turn between this one's plan and its write."""
        if not self._overtaking and self.random.random() < OVERTAKEN:
            self._overtaking = True
            with suppress(CrashError):
                dispatcher.dispatch(self.now, ahead=dispatcher.AHEAD)
            self._overtaking = False
            self.audit.happened["overtaken"] += 1
        return self._plan(*args, **kwargs)

    def _recover(self) -> None:
        if not any(self._schedulers):
            return
        beating = [worker.id for worker in self._workers if self._is_able(worker)]
        ProcessHeartbeat.objects.filter(pk__in=beating).update(seen_at=self.now)
        try:
            recover(self.now, silence_counts=True)
        except CrashError:
            self._crash_scheduler(self._schedulers.index(True))
        self._see_what_was_closed()
        for job_id in CronJob.objects.filter(enabled=False).order_by("name").values_list("pk"):
            self._see_whether_it_is_paused(*job_id)
        self._look_ahead()

    def _see_what_was_closed(self) -> None:
        calls = [call for worker in self._workers for call in worker.calls.values() if call.owned]
        rows = CronRun.objects.in_bulk([call.run.pk for call in calls]) if calls else {}
        for call in calls:
            row = rows[call.run.pk]
            if row.status != RunStatus.RUNNING or row.token != call.run.token:
                call.owned = False
                self.audit.broken_off(row, entered=call.entered, now=self.now)
                self._see_whether_it_is_paused(row.job_id)
        for worker in self._workers:
            if not worker.alive:
                worker.calls = {pk: call for pk, call in worker.calls.items() if call.owned}
        self._workers = [worker for worker in self._workers if worker.alive or worker.calls]

    def _crash_scheduler(self, number: int, away: timedelta | None = None) -> None:
        self._schedulers[number] = False
        self.audit.happened["scheduler crashes"] += 1
        away = away or self.random.choice((5 * SECOND, 5 * MINUTE, 3 * HOUR))
        self._after(away, lambda: self._start_scheduler(number))

    def _start_scheduler(self, number: int) -> None:
        self._schedulers[number] = True
        self._recover()

    def _crash_a_scheduler(self) -> None:
        self._crash_scheduler(self.random.randrange(SCHEDULERS))

    def _crash_all_schedulers(self) -> None:
        away = self.random.choice((10 * MINUTE, 12 * HOUR, 40 * HOUR))
        for number in range(SCHEDULERS):
            self._crash_scheduler(number, away)

    # Messages and workers.

    def _tell(self, number: int) -> None:
        if self.random.random() < CRASH_IN_TRANSACTION:
            raise CrashError
        self._send(number)
        self._told = self._told or number > 0

    def _is_able(self, worker: Worker) -> bool:
        return worker.alive and worker.silent_until <= self.time

    def _deliver(self) -> None:
        """Give the messages to workers, if there is one; some are lost, and some come twice."""
        able = [worker for worker in self._workers if self._is_able(worker)]
        if not (able and self._told):
            return
        queued = list(OrmQ.objects.order_by("id"))
        OrmQ.objects.all().delete()
        self._told = False
        if self.random.random() < ONE_IS_FASTEST:
            able = [self.random.choice(able)]
        shares = Counter[Worker]()
        for message in queued:
            if self.random.random() < LOST_MESSAGE:
                self._after(DELIVERY_PATIENCE + SECOND, self._recover)
                continue
            for _ in range(2 if self.random.random() < REPEATED_MESSAGE else 1):
                shares[self.random.choice(able)] += message.task["args"][0]
        for worker, share in shares.items():
            self._take(worker, share)

    def _take(self, worker: Worker, share: int) -> None:
        runs = claiming.claim(worker.id, foreground=share, background=share, now=self.now)
        for run in runs:
            self.audit.began(run)
            call = Call(run, self._outcome(), entered=self.random.random() > NOT_BEGUN)
            seconds = CALL_SECONDS
            if self.random.random() < SLOW:
                seconds = self.random.choice(SLOW_SECONDS)
            if seconds > RECOVERY_MAY_GIVE_UP:
                call.entered = True
                self._enter(run, CallStatus.UNCONFIRMED)
            if seconds > run.job.max_runtime_seconds:
                seconds, call.outcome = run.job.max_runtime_seconds, TOO_LONG
            worker.calls[run.pk] = call
            self._end_later(worker, call, seconds * SECOND)
        while runs and self._in_store:
            self._after(self.random.randint(1, CALL_SECONDS - 1) * SECOND, self._in_store.pop())

    def _outcome(self) -> Attempt:
        odds = [chance for chance, _ in OUTCOMES]
        return self.random.choices([attempt for _, attempt in OUTCOMES], odds)[0]

    def _end_later(self, worker: Worker, call: Call, delay: timedelta) -> None:
        """What ends at one instant is written together."""
        together = self._ends.setdefault((self.time + delay, worker.id), [])
        if not together:
            self._after(delay, lambda: self._end(worker, together))
        if call not in together:
            together.append(call)

    def _end(self, worker: Worker, calls: list[Call]) -> None:
        """The calls have ended, and their worker writes it, unless it has died."""
        calls = [call for call in calls if worker.calls.get(call.run.pk) is call]
        if not worker.alive or not calls:
            return
        if not self._is_able(worker):
            self._at(worker.silent_until, lambda: self._end(worker, calls))
            return
        try:
            written = finish([Ended(call.run, call.outcome) for call in calls], self.now)
        except CrashError:
            self._crash(worker)
            return
        assert written == sum(call.owned for call in calls)
        for call in calls:
            del worker.calls[call.run.pk]
            if call.owned:
                self.audit.ended(call.run, call.outcome, now=self.now)
                self._follow_up(call.run)
            else:
                self.audit.happened["refused ends"] += 1
        if any(call.run.status == RunStatus.QUEUED for call in calls):
            self._look_ahead()

    def _follow_up(self, run: CronRun) -> None:
        if run.status == RunStatus.WAITING_FOR_APPROVAL:
            self._enter(run, CallStatus.WAITING)
            self._after(self.random.randint(1, 40) * HOUR, lambda: self._decide(run))
        self._see_whether_it_is_paused(run.job_id)

    def _see_whether_it_is_paused(self, job_id: UUID) -> None:
        if not self.audit.jobs[job_id].pause_after_failures or job_id in self._paused:
            return
        job = CronJob.objects.get(pk=job_id)
        if not job.enabled:
            self._paused.add(job_id)
            self.audit.paused.setdefault(job_id, []).append(job.updated_at)
            self.audit.happened["pauses"] += 1
            self._after(self.random.randint(1, 50) * HOUR, lambda: self._resume(job))

    def _break_off_cancelled(self) -> None:
        for worker in self._workers:
            if not (worker.calls and self._is_able(worker)):
                continue
            for pk in sorted(cancelling.asked_of(worker.id)):
                call = worker.calls.get(pk)
                if call and call.outcome is not CANCELLED:
                    call.outcome = CANCELLED
                    self._end_later(worker, call, SECOND)

    def _start_worker(self) -> None:
        worker = Worker()
        self._workers.append(worker)
        ProcessHeartbeat.objects.create(
            pk=worker.id, role="worker", host="here", pid=1, started_at=self.now, seen_at=self.now
        )

    def _crash(self, worker: Worker) -> None:
        worker.alive = False
        self.audit.happened["worker crashes"] += 1
        self._show_in_the_ledger(worker)
        for call in worker.calls.values():
            if call.owned:
                self.audit.under_way[call.run.job_id].discard(call.run.pk)
        self._after(OWNER_TIMEOUT + SECOND, self._recover)
        self._after(self.random.choice((SECOND, MINUTE, 4 * HOUR)), self._start_worker)

    def _show_in_the_ledger(self, worker: Worker) -> None:
        for call in worker.calls.values():
            if call.entered:
                self._enter(call.run, CallStatus.UNCONFIRMED)

    def _crash_a_worker(self) -> None:
        alive = [worker for worker in self._workers if worker.alive]
        busy = [worker for worker in alive if worker.calls]
        if alive:
            self._crash(self.random.choice(busy or alive))

    def _silence_a_worker(self) -> None:
        """It stands still for long enough to be given up, and comes back with its calls."""
        busy = [one for one in self._workers if one.calls and self._is_able(one)]
        if not busy:
            return
        worker = self.random.choice(busy)
        worker.silent_until = self.time + self.random.choice((2 * MINUTE, HOUR))
        self._show_in_the_ledger(worker)
        self._after(OWNER_TIMEOUT + SECOND, self._recover)
        self._at(worker.silent_until, self._break_off_cancelled)
        self.audit.happened["silences"] += 1

    # People.

    def _enter(self, run: CronRun, status: CallStatus) -> None:
        """Have the run's call in the ledger."""
        columns = {
            "team_id": self.audit.jobs[run.job_id].team_id,
            "job_id": run.job_id,
            "run_id": run.pk,
            "surface": Surface.SCHEDULE,
            "task_class": TaskClass.BACKGROUND_AUTOMATION,
            "requested_model": "auto",
            "provider": "rehearsal",
            "model": "small",
            "status": status,
            "admitted_at": self.now,
        }
        ModelCall.objects.update_or_create(id=call_of(run), defaults=columns)

    def _decide(self, run: CronRun) -> None:
        """Somebody approves the call, which is made then, or denies it."""
        waiting = ModelCall.objects.filter(pk=call_of(run), status=CallStatus.WAITING)
        approved = self.random.random() < 0.5
        status = CallStatus.SUCCEEDED if approved else CallStatus.DENIED
        if not waiting.update(status=status):
            return
        if approved:
            answer = {"body": {"choices": [{"message": {"content": "All is well."}}]}}
            KeptCall.objects.create(
                id=call_of(run),
                team_id=self.audit.jobs[run.job_id].team_id,
                answer=answer,
                ended_at=self.now,
                expires_at=self.now + DAY,
            )
            self.audit.stories[run.pk].successes += 1
        self.audit.happened["approved" if approved else "denied"] += 1
        # Should the process die now, recovery ends the run.
        with suppress(CrashError):
            kept_runs.conclude(self.now, call_ids=[call_of(run)])
            self._see_whether_it_is_paused(run.job_id)

    def _resume(self, job: CronJob) -> None:
        if self.time >= END:
            return
        with suppress(ValidationError):
            jobs.resume(job, now=self.now)
            self.audit.resumed.setdefault(job.pk, []).append(self.now)
            self._paused.discard(job.pk)
            self._look_ahead()

    def _cancel_a_run(self) -> None:
        open_runs = list(CronRun.objects.filter(status__in=ACTIVE).order_by("slot", "job__name"))
        if open_runs:
            with suppress(CrashError):
                handling.cancel(self.random.choice(open_runs), now=self.now)
                self.audit.happened["cancelled"] += 1
            self._break_off_cancelled()

    def _run_a_job_now(self) -> None:
        job = self.random.choice(list(self.audit.jobs.values()))
        with suppress(ValidationError, CrashError):
            handling.run_now(job, now=self.now)
            self.audit.happened["run now"] += 1
        self._break_off_cancelled()

    def _review(self) -> None:
        waiting = CronRun.objects.filter(needs_review=True).values_list("job_id", flat=True)
        for job_id in sorted(set(waiting), key=lambda pk: self.audit.jobs[pk].name):
            decision = self.random.choice(handling.DECISIONS)
            with suppress(CrashError):
                queued = handling.review(self.audit.jobs[job_id], decision=decision, now=self.now)
                self.audit.happened["replayed"] += queued
