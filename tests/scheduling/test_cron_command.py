"""`palyra cron`: in words and in JSON, all faults at once, with its exit status."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.signals import post_save
from django.utils import timezone

from governance.models import Channel, ModelCall, ProcessHeartbeat, Team
from providers.identifiers import new_id
from scheduling import jobs
from scheduling.management.cron_options import flag_of
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunStatus
from tests.scheduling.conftest import MakeJob

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def says(*arguments: object) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("cron", *map(str, arguments), stdout=out)
    return out.getvalue()


def told(*arguments: object) -> Any:
    """What it tells a program."""
    return json.loads(says(*arguments, "--json"))


def refused(*arguments: object) -> tuple[str, int]:
    """Its lines, and its exit status."""
    with pytest.raises(CommandError) as error:
        says(*arguments)
    return str(error.value), error.value.returncode


def refused_output(*arguments: str) -> str:
    """What it prints although something is wrong."""
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("cron", *arguments, stdout=out)
    return out.getvalue()


def start(role: str) -> None:
    now = timezone.now()
    ProcessHeartbeat.objects.create(
        id=new_id(), role=role, host="here", pid=1, started_at=now - MINUTE, seen_at=now
    )


def make_run(job: CronJob, **fields: Any) -> CronRun:
    now = timezone.now()
    given = {"slot": now, "queued_at": now, "status": RunStatus.SUCCEEDED}
    return CronRun.objects.create(job=job, **given | fields)


def test_a_prompt_is_scheduled_with_a_few_words(team: Team) -> None:
    said = says("add", "demo/Morning figures", "--cron", "0 9 * * 1-5", "--prompt", "Well?")

    job = CronJob.objects.get()
    assert said.startswith(f"Added demo/Morning figures ({job.pk}). At 09:00 on weekdays, UTC.")
    assert (job.name, job.cron, job.prompt, job.enabled) == (
        "Morning figures",
        "0 9 * * 1-5",
        "Well?",
        True,
    )


def test_every_field_can_be_given(team: Team, tmp_path: Path) -> None:
    ExclusionCalendar.objects.create(name="Holidays", dates=["2026-12-25"])
    ops = Channel.objects.create(name="ops", url="https://example.com/hook", purpose="runs")
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    given = {
        "every_seconds": 90,
        "zone": "Europe/Prague",
        "starts_at": "2030-01-01T09:00",
        "ends_at": "2031-01-01T09:00+00:00",
        "max_runs": 5,
        "jitter_seconds": 20,
        "overlap": "allow",
        "max_parallel": 3,
        "misfire": "catch_up",
        "catch_up_limit": 4,
        "catch_up_hours": 48,
        "max_attempts": 5,
        "backoff_seconds": 7,
        "max_runtime_seconds": 300,
        "expected_seconds": 30,
        "pause_after_failures": 6,
        "task_class": "auxiliary_summary",
        "routing_mode": "dry_run",
        "model": "gpt-5",
        "system_prompt": "You are {{ team }}.",
        "prompt": "For {{ parameters.who }}?",
        "max_output_tokens": 700,
        "output_format": "json",
    }
    options = [part for name, value in given.items() for part in (flag_of(name), value)]
    says(
        *("add", "demo/All", *options, "--retry-unconfirmed", "--output-schema-file", schema),
        *("--parameter", "who=the board", "--parameter", "limit=3", "--calendar", "Holidays"),
        *("--deliver", "failure=ops", "--deliver", "change=ops"),
    )

    job = CronJob.objects.get()
    stored = {name: getattr(job, name) for name in given}
    assert stored == given | {
        "starts_at": datetime(2030, 1, 1, 8, 0, tzinfo=UTC),
        "ends_at": datetime(2031, 1, 1, 9, 0, tzinfo=UTC),
    }
    assert job.retry_unconfirmed
    assert job.output_schema == {"type": "object"}
    assert job.parameters == {"who": "the board", "limit": 3}
    assert [str(one) for one in job.calendars.all()] == ["Holidays"]
    assert {(one.channel, one.on) for one in job.deliveries.all()} == {
        (ops, "failure"),
        (ops, "change"),
    }
    # The kind follows from how the time is given, the name is the job's.
    apart = {"schedule_kind", "name", "cron", "at", "retry_unconfirmed", "output_schema"}
    assert given.keys() | apart | {"parameters"} == jobs.EDITABLE


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_stored(team: Team) -> None:
    said, status = refused(
        *("add", "demo/Bad", "--every", "soon", "--zone", "Mars/Olympus", "--prompt", "{{ x }}"),
        *("--max-runs", "0", "--max-attempts", "many", "--parameter", "a b=1"),
        *("--calendar", "Nothing", "--deliver", "ops", "--starts-at", "tomorrow"),
        *("--output-schema-file", "/nowhere", "--overlap", "perhaps"),
    )

    lines = said.splitlines()
    flags = {line.partition(":")[0] for line in lines}
    assert flags == {
        "--every-seconds",
        "--zone",
        "--prompt",
        "--max-runs",
        "--max-attempts",
        "--parameter",
        "--calendar",
        "--deliver",
        "--starts-at",
        "--output-schema",
        "--overlap",
    }
    assert status == 1
    assert not CronJob.objects.exists()


def test_one_fault_in_an_option_keeps_the_rest_from_being_stored(make_job: MakeJob) -> None:
    job = make_job(name="Pulse")

    assert refused("update", job.pk, "--model", "gpt-5", "--max-runs", "x") == (
        "--max-runs: Give a whole number.",
        1,
    )
    job.refresh_from_db()
    assert job.model == "auto"


@pytest.mark.parametrize(
    ("arguments", "word", "status"),
    [
        (["add", "Pulse", "--every", "60", "--prompt", "x"], "TEAM/NAME", 1),
        (["add", "other/Pulse", "--every", "60", "--prompt", "x"], "There are: demo", 1),
        (["add", "demo/New", "--prompt", "x"], "in one way", 1),
        (["add", "demo/New", "--every", "60", "--cron", "* * * * *"], "in one way", 1),
        (["add", "demo/Pulse", "--every", "60", "--prompt", "x"], "of that name", 1),
        (["show", "demo/Nothing"], "There are: Pulse", 2),
        (["show", "Pulse"], "TEAM/NAME", 2),
        (["list", "--team", "other"], "There are: demo", 2),
        (["update", "demo/Pulse"], "Say what", 2),
        (["update", "demo/Pulse", "--without-parameter", "x"], "no parameter x", 1),
        (["update", "demo/Pulse", "--prompt", "a", "--prompt-file", "b"], "not both", 1),
        (["run-now", "demo/Pulse", "--parameter", "x"], "NAME=VALUE", 1),
        (["rehearse", "demo/Pulse", "--parameter", "x"], "NAME=VALUE", 1),
        (["cancel", "demo/Pulse"], "No run", 1),
        (["review", "demo/Pulse", "perhaps"], "skip, run_once, replay_all", 1),
        (["preview"], "in one way", 1),
        (["preview", "--cron", "99 * * * *"], "--cron: ", 1),
        (["preview", "demo/Pulse", "--in", "Mars/Olympus"], "--in: ", 1),
        (["disable", "demo/Pulse", "--reason", "x" * 300], "--reason: ", 1),
        (["disable", "demo/Pulse"], "--reason: Say why", 1),
        (["show", "demo/\udcff"], "no text in UTF-8", 2),
        (["update", "demo/Pulse", "--parameter", "a=\udcff"], "no text in UTF-8", 2),
        *[
            ([*words, number], f"{words[-1]}: give a whole number from", 1)
            for words in (["list", "--limit"], ["logs", "--limit"], ["preview", "--count"])
            for number in ("-1", "0", "many", "9" * 20, "9" * 5000)
        ],
        (["run-now", "demo/Pulse", "--timeout", "9" * 20], "--timeout: give a whole", 1),
    ],
)
@pytest.mark.any_database
def test_what_is_refused(make_job: MakeJob, arguments: list[str], word: str, status: int) -> None:
    make_job(name="Pulse")

    said, returned = refused(*arguments)

    assert word in said
    assert returned == status


def test_what_is_not_named_stays(make_job: MakeJob) -> None:
    job = make_job(name="Pulse", parameters={"a": 1, "b": 2}, max_runs=7)

    says(
        "update",
        "demo/Pulse",
        "--parameter",
        "b=3",
        "--without-parameter",
        "a",
        "--at",
        "2099-01-01",
    )
    job.refresh_from_db()
    assert (job.schedule_kind, job.every_seconds, job.at) == (
        "at",
        None,
        datetime(2099, 1, 1, tzinfo=UTC),
    )
    assert (job.parameters, job.max_runs) == ({"b": 3}, 7)

    says("update", job.pk, "--max-runs", "none", "--name", "Beat", "--no-retry-unconfirmed")
    job.refresh_from_db()
    assert (job.max_runs, job.name) == (None, "Beat")

    says("update", job.pk, "--routing-mode", "enforced")
    assert "Routing: Enforced: use it" in says("show", job.pk)
    says("update", job.pk, "--routing-mode", "none")
    job.refresh_from_db()
    assert job.routing_mode == ""


def test_calendars_and_deliveries_are_taken_away_by_none(team: Team) -> None:
    ExclusionCalendar.objects.create(name="Holidays", team=team, dates=[])
    Channel.objects.create(name="ops", url="https://example.com/hook", purpose="runs")
    says(
        *("add", "demo/Pulse", "--every", "60", "--prompt", "Well?"),
        *("--calendar", "Holidays", "--deliver", "always=ops"),
    )
    job = CronJob.objects.get()

    says("update", "demo/Pulse", "--calendar", "none", "--deliver", "none")

    assert not job.calendars.exists()
    assert not job.deliveries.exists()


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


def test_a_schedule_is_previewed_in_any_zone() -> None:
    said = says(
        *("preview", "--cron", "30 2 * * *", "--zone", "Europe/Prague", "--count", "400"),
        *("--in", "Asia/Kolkata"),
    )

    sentence, head, *lines = said.splitlines()
    assert sentence == "At 02:30 every day, Europe/Prague"
    assert head.split() == ["Europe/Prague", "Asia/Kolkata", "NOTE"]
    assert len(lines) == 400
    moved = [line for line in lines if "moved" in line]
    assert len(moved) == 1
    assert "03:00:00 CEST" in moved[0]
    assert "06:30:00 IST" in moved[0]


def test_a_job_is_previewed_as_it_is_and_as_it_might_be(make_job: MakeJob) -> None:
    job = make_job(name="Pulse", max_runs=2)

    found = told("preview", "demo/Pulse")
    assert found["sentence"] == "Every minute"
    assert len(found["times"]) == 2
    assert told("preview", job.pk, "--every", "120")["sentence"] == "Every 2 minutes"
    assert told("preview", job.pk, "--cron", "0 9 * * *")["sentence"] == "At 09:00 every day, UTC"
    assert "It has no time" in says("preview", "--cron", "0 0 * * *", "--ends-at", "2020-01-01")
    assert "up to 20 s later" in says("preview", "--every", "60", "--jitter-seconds", "20")


def test_a_rehearsal_spends_nothing(make_job: MakeJob) -> None:
    make_job(name="Pulse", prompt="For {{ parameters.who }}?", system_prompt="Be brief.")

    said = says("rehearse", "demo/Pulse", "--parameter", "who=Ada")
    assert "Prompt:\nFor Ada?" in said
    assert "Be brief." in said
    assert "You asked: “For Ada?”" in said
    assert "parameters.who" in refused("rehearse", "demo/Pulse")[0]
    assert not ModelCall.objects.exists()
    assert not CronRun.objects.exists()


def test_it_says_who_is_alive_and_what_waits(make_job: MakeJob) -> None:
    assert "0 enabled" in says("status")

    job = make_job(name="Pulse")
    failed = make_run(job, status=RunStatus.FAILED, reason="Nobody answered.")
    make_run(job, status=RunStatus.QUEUED, lane=0)
    now = timezone.now()
    CronJob.objects.update(due_at=now, retry_at=now, last_error="It cannot be read.")
    said = refused("status")[0]
    assert "No scheduler is running" in said
    assert "No worker is running" in said

    start("scheduler")
    start("worker")
    said = says("status")
    assert "1 enabled, 0 paused, 1 due" in said
    assert "Runs: 1 queued; the oldest was queued" in said
    assert "demo/Pulse: It cannot be read." in said
    assert "failed. Nobody answered." in said
    found = told("status")
    assert found["runs"] == {"queued": 1}
    assert [one["id"] for one in found["failures"]] == [str(failed.pk)]
    assert {one["role"] for one in found["processes"]} == {"scheduler", "worker"}
    assert found["faults"] == []


def test_a_long_list_takes_no_more_queries_than_a_short_one(
    make_job: MakeJob, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(6):
        make_run(make_job())

    with django_assert_max_num_queries(5):
        says("list")
    with django_assert_max_num_queries(5):
        told("list")
    with django_assert_max_num_queries(2):
        says("logs")
