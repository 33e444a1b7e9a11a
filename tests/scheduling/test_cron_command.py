"""`palyra cron`: jobs in words and in JSON, all faults at once, with its exit status."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.models import Channel, Team
from scheduling import jobs
from scheduling.management.cron_options import flag_of
from scheduling.models import CronJob, ExclusionCalendar
from tests.scheduling.conftest import MakeJob
from tests.scheduling.cron_says import refused, says

pytestmark = pytest.mark.django_db


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
