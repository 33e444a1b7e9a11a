"""`palyra cron`: what would be run when, rehearsals, and who is alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from governance.models import ModelCall
from scheduling.models import CronJob, CronRun, RunStatus
from tests.scheduling.conftest import MakeJob
from tests.scheduling.cron_says import make_run, refused, says, start, told

pytestmark = pytest.mark.django_db


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
