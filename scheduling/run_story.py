"""What is told of one run besides its row: its attempts, what waits for it, whom it was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet

from governance.models import Approval, Delivery
from scheduling.handling import RUN_ONCE, SKIP
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus

SHOWN_MISSED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one attempt before the last."""

    number: int
    started_at: datetime | None
    finished_at: datetime | None
    status: str
    reason: str
    failure_class: str
    model: str
    cost: int | None
    call_id: str

    @property
    def status_words(self) -> str:
        """How it ended, in words."""
        known = self.status in RunStatus.values
        return str(RunStatus(self.status).label) if known else self.status


def attempts_of(run: CronRun) -> list[Attempt]:
    """The attempts before the last, in order."""
    return [_attempt(one, number) for number, one in enumerate(run.attempts or (), start=1)]


def _attempt(kept: dict[str, Any], number: int) -> Attempt:
    return Attempt(
        number=kept.get("number") or number,
        started_at=_moment(kept.get("started_at")),
        finished_at=_moment(kept.get("finished_at")),
        status=str(kept.get("status") or ""),
        reason=str(kept.get("reason") or ""),
        failure_class=str(kept.get("failure_class") or ""),
        model=str(kept.get("model") or ""),
        cost=kept.get("cost"),
        call_id=str(kept.get("call_id") or ""),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def approvals_of(run: CronRun) -> QuerySet[Approval]:
    """The requests that the run's call made, for the policies that stopped it."""
    found = Approval.objects.filter(call_id=run.call_id) if run.call_id else Approval.objects.none()
    return found.select_related("policy", "decided_by").order_by("requested_at")


def messages_of(run: CronRun) -> QuerySet[Delivery]:
    """The messages that told of the run, the latest first."""
    told = Delivery.objects.filter(team=run.job.team_id, run_id=run.pk)
    return told.select_related("channel")


def to_review(jobs: Iterable[CronJob]) -> QuerySet[CronRun]:
    """Missed times of these jobs about which a person is to decide, the latest first."""
    return CronRun.objects.filter(job__in=jobs, needs_review=True).defer("output", "asked")


@dataclass(frozen=True, slots=True)
class Review:
    """Missed times of a job about which a person is to decide."""

    count: int
    latest: list[CronRun]

    @property
    def more(self) -> int:
        """How many are not among the latest."""
        return self.count - len(self.latest)


def reviewable(job: CronJob) -> Review | None:
    """What of the job's is to be decided on; None if nothing is."""
    missed = to_review([job])
    latest = list(missed.order_by("-slot")[:SHOWN_MISSED])
    if not latest:
        return None
    return Review(len(latest) if len(latest) < SHOWN_MISSED else missed.count(), latest)


def review_counts(jobs: Iterable[CronJob]) -> dict[UUID, int]:
    """How many missed times of each of these jobs are to be decided on; one query."""
    counted = to_review(jobs).order_by().values("job").annotate(count=Count("pk"))
    return {one["job"]: one["count"] for one in counted}


def decided(decision: str, queued: int) -> str:
    """What came of a decision, in a sentence."""
    if decision == SKIP:
        return "The missed times are left out."
    if queued == 0:
        return "Nothing was left to decide: somebody else has."
    if decision == RUN_ONCE:
        return "One run makes up for the missed times; it is queued."
    return f"{queued:,} run{' is' if queued == 1 else 's are'} queued, the earliest first."


def cancelled_words(run: CronRun, called: str = "The run") -> str:
    """What came of asking that `run`, as it is now, be cancelled."""
    if run.status == RunStatus.CANCELLED:
        return f"{called} is cancelled."
    if run.status not in ACTIVE:
        ended = run.get_status_display().lower()
        return f"{called} ended before it could be cancelled: {ended}."
    call = ": its call is being broken off" if run.status == RunStatus.RUNNING else ""
    return f"{called} is being cancelled{call}."
