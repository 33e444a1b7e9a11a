"""What must hold in the simulated fleet, noted as it happens and checked against an oracle."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from uuid import UUID

from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus, RunTrigger
from scheduling.outcomes import Attempt
from scheduling.planning import GRACE
from tests.scheduling.fleet_jobs import HORIZON, START, slots_of

OFF_SCHEDULE = (RunTrigger.MANUAL, RunTrigger.REPLAY)
NEVER_RAN = (RunStatus.MISSED, RunStatus.SKIPPED)
MOST_MADE_UP_FOR = {"skip": 0, "run_once": 1, "review": 0}


@dataclass(slots=True)
class Story:
    """What the fleet saw of one run: how often it began, and why it might begin again."""

    begun: int = 0
    # Those that were no attempts: nothing had been sent.
    put_off: int = 0
    may_begin: bool = True
    successes: int = 0


@dataclass(slots=True)
class Audit:
    """Notes what the fleet does, and objects at once where it may not."""

    jobs: dict[UUID, CronJob]
    stories: dict[UUID, Story] = field(default_factory=lambda: defaultdict(Story))
    under_way: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    seen: set[UUID] = field(default_factory=set)
    # When a job was paused, and from when on its times count again.
    paused: dict[UUID, list[datetime]] = field(default_factory=dict)
    resumed: dict[UUID, list[datetime]] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)

    def capacity(self, job: CronJob) -> int:
        """How many runs of the job may be under way at once."""
        return job.max_parallel if job.overlap == "allow" else 1

    def began(self, run: CronRun) -> None:
        """A worker took the run."""
        job, story = self.jobs[run.job_id], self.stories[run.pk]
        assert story.may_begin, (run, "begun though it had ended, or was under way")
        story.may_begin = False
        story.begun += 1
        self.under_way[job.pk].add(run.pk)
        assert len(self.under_way[job.pk]) <= self.capacity(job), (run, "begun beside too many")
        assert story.begun - story.put_off <= job.max_attempts, (run, "tried too often")
        assert run.attempt == story.begun - story.put_off
        self.happened["begun"] += 1

    def ended(self, run: CronRun, attempt: Attempt, *, now: datetime) -> None:
        """The run's end was written; `run` is as it stands since."""
        job, story = self.jobs[run.job_id], self.stories[run.pk]
        self.under_way[job.pk].discard(run.pk)
        story.successes += attempt.status == RunStatus.SUCCEEDED
        assert story.successes <= 1
        if run.status == RunStatus.QUEUED:
            unconfirmed = attempt.status == RunStatus.UNCONFIRMED
            assert attempt.deferred or attempt.passes or (unconfirmed and job.retry_unconfirmed)
            assert run.due_at is not None
            assert run.due_at > now
            story.may_begin = True
            story.put_off += attempt.deferred
        self.happened[f"{attempt.status}{' again' * (run.status == RunStatus.QUEUED)}"] += 1

    def broken_off(self, run: CronRun, *, entered: bool, now: datetime) -> None:
        """Recovery dealt with the run, whose worker was gone; `entered` if the ledger had it."""
        status = RunStatus.UNCONFIRMED if entered else RunStatus.FAILED
        self.ended(run, Attempt(status=status, deferred=not entered), now=now)
        if entered and not self.jobs[run.job_id].retry_unconfirmed:
            assert run.status == RunStatus.UNCONFIRMED

    def dispatched(self, now: datetime) -> bool:
        """Schedulers had their turns at `now`: the rows they made obey the policies. Whether runs
        may have been cancelled by it."""
        rows = CronRun.objects.filter(queued_at=now).exclude(trigger__in=OFF_SCHEDULE)
        fresh = [run for run in rows.defer("output", "asked") if run.pk not in self.seen]
        by_job = defaultdict(list)
        for run in fresh:
            self.seen.add(run.pk)
            by_job[run.job_id].append(run)
        for job_id, runs in by_job.items():
            self._check_misfires(self.jobs[job_id], runs, now)
            self._check_skips(self.jobs[job_id], runs)
        self._check_places(by_job)
        return any(self.jobs[job_id].overlap == "replace" for job_id in by_job)

    def _check_misfires(self, job: CronJob, runs: list[CronRun], now: datetime) -> None:
        made_up = [run for run in runs if run.trigger == RunTrigger.CATCH_UP]
        missed = [run for run in runs if run.status == RunStatus.MISSED]
        on_time = [run for run in runs if run not in made_up and run not in missed]
        assert len(made_up) <= MOST_MADE_UP_FOR.get(job.misfire, job.catch_up_limit)
        assert len(on_time) <= 1
        assert all(now - GRACE <= late(run) <= now for run in on_time)
        assert all(run.needs_review == (job.misfire == "review") for run in missed)
        if job.misfire == "catch_up":
            within = timedelta(hours=job.catch_up_hours)
            assert all(run.slot >= now - within for run in made_up)
        last = max(run.slot for run in runs)
        assert all(late(run) < now - GRACE or run.slot < last for run in missed + made_up)
        assert all(run.reason for run in missed + made_up)
        self.happened["missed"] += len(missed)
        self.happened["caught up"] += len(made_up)
        self.happened["on time"] += len(on_time)

    def _check_skips(self, job: CronJob, runs: list[CronRun]) -> None:
        skipped = [run for run in runs if run.status == RunStatus.SKIPPED]
        if not skipped:
            return
        assert job.overlap != "replace"
        open_runs = job.runs.filter(status__in=ACTIVE)
        assert open_runs.count() >= self.capacity(job), (
            job.overlap,
            [run.reason for run in skipped],
        )
        self.happened["skipped"] += len(skipped)

    def _check_places(self, job_ids: Iterable[UUID]) -> None:
        """Runs that wait for approval or for their next attempt have places as well."""
        placed = CronRun.objects.filter(
            job__in=list(job_ids), status__in=ACTIVE, lane__isnull=False
        )
        for job_id, number in Counter(placed.values_list("job_id", flat=True)).items():
            job = self.jobs[job_id]
            assert number <= self.capacity(job), (job, job.overlap, "too many have places")

    def check_in_the_end(self) -> None:
        """Every time of every job is accounted for once, and no run was lost."""
        left = CronRun.objects.filter(status__in=ACTIVE)
        assert not left.exists(), list(left)
        assert not CronJob.objects.exclude(last_error="").exists()
        rows = defaultdict(list)
        for run in CronRun.objects.exclude(trigger=RunTrigger.MANUAL).order_by("slot"):
            rows[run.job_id].append(run)
        for job in CronJob.objects.prefetch_related("calendars"):
            self._check_times(job, rows[job.pk])
            self._check_limits(job, rows[job.pk])
        for run in CronRun.objects.all():
            story = self.stories[run.pk]
            assert (run.status == RunStatus.SUCCEEDED) == (story.successes == 1)
            assert not (run.status in NEVER_RAN and story.begun)

    def _check_times(self, job: CronJob, rows: Sequence[CronRun]) -> None:
        expected = slots_of(job)
        begins = [START, *self.resumed.get(job.pk, [])]
        ends = [*begins[1:], None]
        pauses = self.paused.get(job.pk, [])
        for begin, end, pause in zip_longest(begins, ends, pauses):
            times = [slot for slot in expected if slot > begin]
            mine = [run for run in rows if run.slot > begin and (not end or run.slot <= end)]
            place = 0
            for run in mine:
                place += run.missed_before
                assert times[place] == run.slot, (job, run, "out of turn")
                place += 1
            self.happened["accounted"] += place
            if pause and (end or job.runs_left != 0):
                come = [slot for slot in times if slot <= min(pause, end or pause)]
                assert len(come) <= place, (job, come[place:], "dropped by a pause")
        if job.enabled and job.runs_left != 0:
            following = times[place] if place < len(times) else None
            found = job.next_slot
            assert found == following or (not following and found and found > HORIZON)

    def _check_limits(self, job: CronJob, rows: Iterable[CronRun]) -> None:
        began = [run for run in rows if self.stories[run.pk].begun]
        scheduled = [run for run in began if run.trigger != RunTrigger.REPLAY]
        assert job.max_runs is None or len(scheduled) <= job.max_runs
        assert job.runs_left != 0 or job.next_slot is None


def late(run: CronRun) -> datetime:
    """When the run was first to begin."""
    assert run.due_at is not None
    return run.due_at
