"""What runs by itself: scheduled prompts with their runs, and Palyra's own jobs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from governance.models import Channel, Team
from scheduling import calendars, jobs
from scheduling.maintenance import booking
from scheduling.models import (
    CronJob,
    CronRun,
    MaintenanceJob,
    MaintenanceStatus,
    RunStatus,
    RunTrigger,
)
from tests.browser.seed_ledger import Ledger
from tests.support.ledger_rows import add_up


def schedule_prompts(teams: tuple[Team, ...], by: User, now: datetime) -> list[CronJob]:
    """One or two for each team, the last of them paused."""

    def job(team: Team, name: str, prompt: str, **timing: Any) -> CronJob:
        return jobs.create_job(
            team=team, name=name, prompt=prompt, created_by=by, now=now, **timing
        )

    made = [
        job(
            teams[0],
            "Morning digest",
            "Summarise yesterday's open tickets in five lines.",
            schedule_kind="cron",
            cron="0 9 * * MON-FRI",
            zone="Europe/Prague",
            max_output_tokens=600,
        ),
        job(
            teams[1],
            "Paper watch",
            "List new papers on retrieval, with one sentence each.",
            schedule_kind="every",
            every_seconds=6 * 3600,
            zone="Europe/Prague",
        ),
        job(
            teams[2],
            "Month-end reminder",
            "Draft a friendly reminder for unpaid invoices.",
            schedule_kind="cron",
            cron="30 8 28 * *",
            zone="America/New_York",
            model="gpt-4.1",
        ),
        job(
            teams[2],
            "Weekly totals",
            "Explain this week's totals to a new colleague.",
            schedule_kind="cron",
            cron="0 17 * * FRI",
            zone="America/New_York",
        ),
    ]
    jobs.pause(made[3], reason="Waiting for the new ledger export", now=now)
    return made


def add_runs(made_jobs: list[CronJob], ledger: Ledger, now: datetime) -> list[CronRun]:
    """A week of runs, with what they answered and the calls they made."""
    made = []
    for number in range(24):
        job = made_jobs[number % 3]
        slot = (now - timedelta(hours=7 * number + 1)).replace(minute=0, second=0, microsecond=0)
        began = slot + timedelta(milliseconds=140)
        run = CronRun(
            job=job,
            slot=slot,
            trigger=RunTrigger.MANUAL if number == 4 else RunTrigger.SCHEDULE,
            queued_at=slot + timedelta(milliseconds=8),
            started_at=began,
            finished_at=slot + timedelta(seconds=4),
            status=RunStatus.SUCCEEDED,
            missed_before=2 if number == 9 else 0,
        )
        if number == 6:
            run.status = RunStatus.FAILED
            run.reason = "openai/gpt-4.1-mini gave no answer. The provider answered 503."
        elif number == 11:
            run.status = RunStatus.BLOCKED_BY_BUDGET
            run.reason = "“Support, a month” allows $6.00; with $5.98 consumed nothing more fits."
        else:
            call = ledger.call(ledger.teams.index(job.team), began, run=run)
            call.save(force_insert=True)
            add_up([call])
            run.call_id = call.pk
            run.model = call.model
            run.cost = call.cost
            run.input_tokens = call.uncached_input_tokens
            run.output_tokens = call.output_tokens
            run.output = (
                "1. Two customers cannot sign in since the password change.\n"
                "2. An export of 12,000 rows times out.\n"
                "3. The invoice of March shows the wrong address.\n"
                "4. A refund waits for approval.\n"
                "5. Nothing else is older than a day."
            )
        run.save(force_insert=True)
        made.append(run)
    return made


def schedule_careful_prompt(team: Team, by: User, now: datetime) -> None:
    """A job that makes use of every policy, with runs in states that are not everyday's."""
    holidays = calendars.create(
        team=None, name="Public holidays", dates=[f"{now.year + 1}-01-01", f"{now.year + 1}-12-25"]
    )
    retreat = calendars.create(team=team, name="Retreat", dates=[f"{now.year + 1}-06-15"])
    job = jobs.create_job(
        team=team,
        name="Ticket triage",
        prompt="Sort the {{ parameters.queue }} tickets since {{ previous.at }} by urgency.",
        created_by=by,
        now=now,
        schedule_kind="every",
        every_seconds=3600,
        zone="Europe/Prague",
        jitter_seconds=120,
        max_runs=5000,
        calendars=[holidays, retreat],
        overlap="queue_one",
        misfire="review",
        max_attempts=3,
        backoff_seconds=20,
        expected_seconds=30,
        pause_after_failures=5,
        parameters={"queue": "billing"},
        output_format="json",
        output_schema={"type": "object", "properties": {"urgent": {"type": "array"}}},
        deliveries=[(Channel.objects.get(name="Operations"), "failure")],
    )
    _add_unusual_runs(job, now.replace(minute=0, second=0, microsecond=0))


def _add_unusual_runs(job: CronJob, hour: datetime) -> None:
    for ago in (4, 5, 6):
        CronRun.objects.create(
            job=job,
            slot=hour - timedelta(hours=ago),
            status=RunStatus.MISSED,
            needs_review=True,
            reason="No scheduler was running when it was due.",
            queued_at=hour,
        )
    began = hour - timedelta(hours=7) + timedelta(seconds=70)
    CronRun.objects.create(
        job=job,
        slot=hour - timedelta(hours=7),
        due_at=hour - timedelta(hours=7) + timedelta(seconds=20),
        status=RunStatus.SUCCEEDED,
        queued_at=hour - timedelta(hours=7),
        started_at=began,
        finished_at=began + timedelta(seconds=48),
        slow=True,
        attempt=2,
        deferrals=1,
        attempts=[
            {
                "number": 1,
                "started_at": (began - timedelta(seconds=40)).isoformat(),
                "finished_at": (began - timedelta(seconds=21)).isoformat(),
                "status": "failed",
                "reason": "openai/gpt-4.1-mini gave no answer. The provider answered 503.",
                "failure_class": "provider_unavailable",
                "model": "gpt-4.1-mini",
                "cost": None,
                "call_id": None,
            }
        ],
        parameters={"queue": "refunds"},
        asked="Sort the refunds tickets since Tuesday, 09:00 by urgency.",
        model="gpt-4.1-mini",
        explanation="It is the default, and the cheapest that fits the request.",
        output='{"urgent": ["A refund of March is still open."]}',
        input_tokens=412,
        output_tokens=96,
        cost=318_400,
    )
    for ago, status, reason in (
        (8, RunStatus.CANCELLED, "It was cancelled."),
        (9, RunStatus.DENIED, "More of “Support, a month” was denied: Not this month."),
        (10, RunStatus.SKIPPED, "The run before it was still under way; one runs at a time."),
        (11, RunStatus.UNCONFIRMED, "The worker stopped while the provider was answering."),
    ):
        CronRun.objects.create(
            job=job,
            slot=hour - timedelta(hours=ago),
            status=status,
            reason=reason,
            queued_at=hour - timedelta(hours=ago),
            finished_at=hour - timedelta(hours=ago),
        )


def add_maintenance(now: datetime) -> None:
    """Every job, most of them done a moment ago, one failed and one paused."""
    booking.make_rows(now)
    ran = MaintenanceJob.objects.all()
    ran.update(
        last_started_at=now - timedelta(seconds=9),
        last_finished_at=now - timedelta(seconds=8),
        last_status=MaintenanceStatus.OK,
        last_result="Nothing was due.",
    )
    ran.filter(pk="usage-check").update(
        last_status=MaintenanceStatus.FAILED,
        last_result="3 of the hours differ from the ledger. Run “palyra usage rebuild” to put "
        "them right.",
        failures_in_a_row=2,
    )
    ran.filter(pk="discovery").update(
        enabled=False, paused_reason="The hosts move this week.", next_at=None
    )
