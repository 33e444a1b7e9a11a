"""Scheduled prompts of the demonstration, and what became of each of their times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from governance.models import ModelCall, Surface, TaskClass
from palyra_site.demo.calls import Asked, Writer
from palyra_site.demo.scene import Scene
from scheduling import calendars, jobs
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.schedule import between

MOST_RUNS = 400
FAILURE = "openai/gpt-4.1-mini gave no answer. The provider answered 503."
MISSED = "No scheduler was running when it was due."


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A scheduled prompt and what it usually answers."""

    slug: str
    name: str
    prompt: str
    output: str
    timing: dict[str, Any]
    characters: tuple[int, int] = (8_000, 20_000)


def _cron(cron: str, zone: str, **more: Any) -> dict[str, Any]:
    return {"schedule_kind": "cron", "cron": cron, "zone": zone, **more}


PROMPTS = (
    Prompt(
        slug="support",
        name="Morning digest",
        prompt="Summarise yesterday's open tickets in five lines.",
        output="1. Two customers cannot sign in since the password change.\n"
        "2. An export of 12,000 rows times out.\n"
        "3. An invoice shows the wrong address.\n"
        "4. A refund waits for approval.\n"
        "5. Nothing else is older than a day.",
        timing=_cron("0 9 * * MON-FRI", "Europe/Prague", max_output_tokens=600),
    ),
    Prompt(
        slug="research",
        name="Paper watch",
        prompt="List new papers on retrieval, with one sentence each.",
        output="Three papers are new. The first compares sparse with dense retrieval on legal "
        "texts; the second shortens contexts without loss; the third is a survey.",
        timing={"schedule_kind": "every", "every_seconds": 6 * 3600, "zone": "Europe/Prague"},
    ),
    Prompt(
        slug="engineering",
        name="Flaky tests",
        prompt="Name the tests that failed and then passed in the last day, with a guess at why.",
        output="test_upload_resumes: a race between the timer and the second chunk.\n"
        "test_calendar_edges: it depends on the machine's zone.",
        timing=_cron("30 6 * * *", "America/Los_Angeles"),
    ),
    Prompt(
        slug="billing",
        name="Unpaid invoices",
        prompt="Draft a friendly reminder for invoices that are a week late.",
        output="Dear customer, invoice 2231 was due last week. If it is already on its way, "
        "please forgive this note.",
        timing=_cron("0 17 * * FRI", "America/New_York", model="gpt-4.1"),
    ),
    Prompt(
        slug="billing",
        name="Month-end totals",
        prompt="Explain this month's totals to a new colleague.",
        output="",
        timing=_cron("30 8 28 * *", "America/New_York"),
    ),
)
PAUSED = ("Month-end totals", "Waiting for the new ledger export")


def build(scene: Scene, now: datetime) -> dict[str, CronJob]:
    """The jobs, by name; one is paused, and none runs on public holidays."""
    holidays = calendars.create(
        team=None, name="Public holidays", dates=[f"{now.year}-12-25", f"{now.year + 1}-01-01"]
    )
    made = {
        one.name: jobs.create_job(
            team=scene.teams[one.slug],
            name=one.name,
            prompt=one.prompt,
            created_by=scene.administrator,
            now=now,
            calendars=[holidays],
            deliveries=[(scene.channel, "failure")],
            **one.timing,
        )
        for one in PROMPTS
    }
    jobs.pause(made[PAUSED[0]], reason=PAUSED[1], now=now)
    return made


def write(
    writer: Writer, scene: Scene, made: dict[str, CronJob], since: datetime, now: datetime
) -> tuple[list[CronRun], list[ModelCall]]:
    """A run for each scheduled time from `since` until now, and their calls, all unstored."""
    runs, calls = [], []
    for one in PROMPTS:
        job = made[one.name]
        for slot in _slots(job, since, now):
            run, call = _run(writer, scene, one, job, slot)
            runs.append(run)
            if call is not None:
                calls.append(call)
    return runs, calls


def _slots(job: CronJob, since: datetime, now: datetime) -> list[datetime]:
    if job.every_seconds is None:
        return between(job.schedule, since, now - timedelta(minutes=5), MOST_RUNS)
    step = timedelta(seconds=job.every_seconds)
    last = now.replace(minute=0, second=0, microsecond=0)
    count = min((last - since) // step, MOST_RUNS)
    return [last - step * number for number in range(count, 0, -1)]


def _run(
    writer: Writer, scene: Scene, one: Prompt, job: CronJob, slot: datetime
) -> tuple[CronRun, ModelCall | None]:
    chance = writer.chance
    began = slot + timedelta(milliseconds=chance.randint(3, 60))
    run = CronRun(
        id=writer.identifier(slot),
        job=job,
        slot=slot,
        trigger=RunTrigger.SCHEDULE,
        queued_at=slot + timedelta(milliseconds=2),
        started_at=began,
        asked=job.prompt,
        attempt=1,
    )
    fate = chance.random()
    if fate < 0.015:  # noqa: PLR2004
        run.status, run.reason, run.started_at = RunStatus.MISSED, MISSED, None
        run.attempt, run.asked = 0, ""
        return run, None
    decided = writer.decided(
        Asked(
            team=scene.teams[one.slug],
            at=began,
            model=job.model or "auto",
            characters=chance.randint(*one.characters),
            surface=Surface.SCHEDULE,
            task_class=TaskClass.BACKGROUND_AUTOMATION,
            job_id=job.pk,
            run_id=run.pk,
        )
    )
    call = writer.failed(decided) if fate < 0.05 else writer.answered(decided, said=(120, 600))  # noqa: PLR2004
    _close(run, call, one.output)
    return run, call


def _close(run: CronRun, call: ModelCall, output: str) -> None:
    run.finished_at = call.settled_at
    run.call_id, run.model, run.cost = call.pk, call.model, call.cost
    run.explanation = "It is the default, and fits the request."
    if call.error:
        run.status, run.reason = RunStatus.FAILED, FAILURE
        run.failure_class = call.failure_class
        return
    run.status, run.output = RunStatus.SUCCEEDED, output
    run.input_tokens, run.output_tokens = call.expected_input_tokens, call.output_tokens
