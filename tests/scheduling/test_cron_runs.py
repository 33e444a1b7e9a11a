"""`palyra cron`: jobs listed and run, and what came of their runs."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.signals import post_save
from django.utils import timezone

from scheduling.models import CronJob, CronRun, RunStatus
from tests.scheduling.conftest import MakeJob
from tests.scheduling.cron_says import MINUTE, make_run, refused, says, start, told

pytestmark = pytest.mark.django_db


def refused_output(*arguments: str) -> str:
    """What it prints although something is wrong."""
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("cron", *arguments, stdout=out)
    return out.getvalue()


def test_jobs_are_listed_and_shown(make_job: MakeJob) -> None:
    pulse = make_job(name="Pulse", prompt="Well, {{ team }}?", pause_after_failures=3)
    make_run(pulse, status=RunStatus.FAILED)
    make_job(name="Idle")
    says("disable", "demo/Idle", "--reason", "Holidays")

    head, idle, line = says("list").splitlines()
    assert head.split() == ["JOB", "STATE", "NEXT", "LAST", "RUN", "SCHEDULE"]
    assert idle.startswith("demo/Idle   paused")
    assert "active" in line
    assert line.split()[-3:] == ["failed", "Every", "minute"]
    assert [one["name"] for one in told("list", "--state", "paused")] == ["Idle"]
    assert "And 1 more" in says("list", "--limit", "1")

    said = says("show", "demo/Pulse")
    assert "Well, {{ team }}?" in said
    assert "Schedule: Every minute" in said
    assert "State: paused: Holidays" in says("show", "demo/Idle")
    assert told("show", pulse.pk)["pause_after_failures"] == 3

    assert "Enabled demo/Idle" in says("enable", "demo/Idle")
    assert told("show", "demo/Idle")["enabled"]


def test_a_job_is_run_now(make_job: MakeJob) -> None:
    job = make_job(name="Pulse", overlap="allow", max_parallel=3)

    run = told("run-now", "demo/Pulse", "--parameter", "who=Ada")
    assert run["status"] == "queued"
    assert run["parameters"] == {"who": "Ada"}
    waited, status = refused("run-now", "demo/Pulse", "--wait")
    assert "No worker" in waited
    assert status == 1

    start("worker")
    waited, _ = refused("run-now", job.pk, "--wait", "--timeout", "0")
    assert "has not ended in 0 s" in waited


@pytest.mark.parametrize(
    ("ended", "fault"),
    [
        ({"status": RunStatus.SUCCEEDED, "output": "All is well."}, ""),
        ({"status": RunStatus.FAILED, "reason": "Nobody answered."}, "failed. Nobody answered."),
        ({"status": RunStatus.WAITING_FOR_APPROVAL}, "waiting for approval"),
    ],
)
def test_what_came_of_a_run_that_was_waited_for(
    make_job: MakeJob, ended: dict[str, Any], fault: str
) -> None:
    make_job(name="Pulse")
    start("worker")

    def end(instance: CronRun, **_: Any) -> None:
        CronRun.objects.filter(pk=instance.pk).update(**ended)

    post_save.connect(end, sender=CronRun)
    try:
        if fault:
            assert fault in refused("run-now", "demo/Pulse", "--wait")[0]
        else:
            assert "All is well." in says("run-now", "demo/Pulse", "--wait")
    finally:
        post_save.disconnect(end, sender=CronRun)


def test_runs_are_shown_and_cancelled(make_job: MakeJob) -> None:
    pulse, other = make_job(name="Pulse"), make_job(name="Other")
    now = timezone.now()
    done = make_run(
        pulse,
        slot=now - 2 * MINUTE,
        started_at=now - 2 * MINUTE + timedelta(seconds=3),
        finished_at=now - MINUTE,
        model="openai/gpt-5",
        output="All is well.",
        asked="Well?",
        cost=1_200_000,
        input_tokens=4,
        output_tokens=5,
        attempts=[{"number": 1, "status": "failed", "reason": "It was busy."}],
    )
    make_run(other, status=RunStatus.FAILED, reason="Nobody answered.")
    waiting = make_run(pulse, status=RunStatus.QUEUED, lane=0)

    head, first, second = says("logs", "demo/Pulse").splitlines()
    assert head.split()[:3] == ["RUN", "SCHEDULED", "STATUS"]
    assert "queued" in first
    assert str(done.pk) in second
    assert "3.0 s  57 s  openai/gpt-5  $0.0012" in second
    assert "demo/Other" in says("logs")
    assert [one["reason"] for one in told("logs", "--status", "failed")] == ["Nobody answered."]
    shown = says("logs", done.pk)
    for words in ("All is well.", "Well?", "It was busy.", "4 in, 5 out"):
        assert words in shown
    assert "All is well." in says("logs", "demo/Pulse", "--output")
    assert "All is well." not in says("logs", "demo/Pulse")

    said = says("cancel", "demo/Pulse", "--reason", "Too late.")
    assert said == f"Run {waiting.pk} is cancelled.\n"
    waiting.refresh_from_db()
    assert (waiting.status, waiting.reason) == (RunStatus.CANCELLED, "Too late.")
    assert refused("cancel", done.pk) == ("It has ended already.", 1)


def test_what_a_model_says_is_no_command_to_the_terminal(make_job: MakeJob) -> None:
    make_run(make_job(name="Pulse"), output="\x1b]0;title\x07\x9b2J\tWell.\r\n")

    said = says("logs", "demo/Pulse", "--output")
    assert "�]0;title��2J\tWell.�\n" in said
    assert told("logs", "demo/Pulse")[0]["output"] == "\x1b]0;title\x07\x9b2J\tWell.\r\n"


def test_missed_times_are_decided_on(make_job: MakeJob) -> None:
    job = make_job(name="Pulse", misfire="review")
    start("scheduler")
    for minutes in (3, 2):
        make_run(
            job,
            slot=timezone.now() - minutes * MINUTE,
            status=RunStatus.MISSED,
            needs_review=True,
            reason="No scheduler was running.",
        )

    assert "demo/Pulse: 2" in refused_output("status")
    said = says("review", "demo/Pulse")
    assert said.count("No scheduler was running.") == 2
    assert len(told("review", job.pk)) == 2
    assert "One run makes up" in says("review", "demo/Pulse", "run_once")
    assert "No missed time" in says("review", "demo/Pulse")


def test_only_what_has_not_run_is_deleted(make_job: MakeJob) -> None:
    make_run(make_job(name="Pulse"))
    make_job(name="Other")

    assert "Pause it instead" in refused("delete", "demo/Pulse")[0]
    assert says("delete", "demo/Other") == "demo/Other is deleted.\n"
    assert CronJob.objects.get().name == "Pulse"
