"""The system page: what it says of processes, queue, scheduler, upkeep, checks and settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.checks import Error, Info, Warning  # noqa: A004
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from governance.models import ProcessHeartbeat
from palyra_site.configuration import layers
from palyra_site.console.system import check_rows, lag, process_rows, queue, upkeep_rows
from scheduling import messages
from scheduling.models import CronJob, CronRun, MaintenanceJob, RunStatus
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of

SYSTEM = "/admin/system/"
# Signing in, the session and the badges included.
MOST_QUERIES = 34


def test_it_says_what_runs_and_by_which_settings(seeded: Seeded, browser: Client) -> None:
    said = text_of(browser.get(SYSTEM).content.decode())

    for part in (
        "Readiness",
        "Processes and heartbeats",
        "Scheduler 4102 on palyra-1",
        "Maintenance jobs",
        "3 of the hours differ from the ledger.",
        "The hosts move this week.",
        "System checks",
        "PALYRA_OWNER_TIMEOUT",
        "Python",
    ):
        assert part in said, part


def test_parts_are_for_those_who_may_see_their_lists(seeded: Seeded) -> None:
    assert signed_in(staff("none", "governance.view_team")).get(SYSTEM).status_code == 403
    looker = signed_in(staff("looker", "governance.view_processheartbeat"))
    said = text_of(looker.get(SYSTEM).content.decode())
    assert "Processes and heartbeats" in said
    assert "Maintenance jobs" not in said
    assert "PALYRA_OWNER_TIMEOUT" not in said
    assert looker.post(SYSTEM).status_code == 405


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Path:
    """The settings file of a process that was started with secrets; its path."""
    path = tmp_path / "env"
    path.write_text("PALYRA_SECRET_KEY=hunter2hunter2hunter2hunter2hunter2\nPALYRA_WORKERS=7\n")
    url = "postgres://palyra:hunter2hunter2@db/palyra"
    given = layers({"DATABASE_URL": url, "PALYRA_ENV_FILE": str(path)})
    settings.CONFIGURATION = replace(settings.CONFIGURATION, layers=given)
    return path


def test_no_secret_is_on_it(browser: Client, settings: Any, start: Path) -> None:
    page = browser.get(SYSTEM).content.decode()

    assert "hunter2" not in page
    assert settings.SECRET_KEY not in page
    assert "DATABASE_URL" in page


def test_settings_are_those_that_the_process_was_started_with(browser: Client, start: Path) -> None:
    assert "has changed since" not in browser.get(SYSTEM).content.decode()
    start.write_text("PALYRA_WORKERS=9\nhunter2\n")

    said = text_of(browser.get(SYSTEM).content.decode())

    assert "PALYRA_WORKERS 7 The .env file" in said
    assert f"{start} has changed since this process started, and could not be used now" in said
    assert f"line 2 of {start} is not NAME=value." in said
    assert "hunter2" not in said


def test_a_silent_process_is_said(db: None) -> None:
    now = timezone.now()
    for role, ago in (("web", 1), ("worker", 4000)):
        ProcessHeartbeat.objects.create(
            id=uuid4(),
            role=role,
            host="one",
            pid=1,
            started_at=now - timedelta(days=1),
            seen_at=now - timedelta(seconds=ago),
        )

    rows = {row.process.role: row.is_alive for row in process_rows(now)}

    assert rows == {"web": True, "worker": False}


def test_the_queue_is_counted(db: None) -> None:
    now = timezone.now()
    assert (queue(now).depth, queue(now).waiting_since) == (0, None)
    key = messages.broker().list_key
    for minutes in (1, 3, -5):
        # One is taken, and is told again only later.
        OrmQ.objects.create(key=key, payload="", lock=now - timedelta(minutes=minutes))

    found = queue(now)

    assert found.depth == 2
    assert found.waiting_since == now - timedelta(minutes=3)


class SilentBroker:
    """Stands for Redis while it is away."""

    def queue_size(self) -> int:
        raise ConnectionError("redis://user:password@cache.example")


def test_the_page_is_there_while_the_queue_is_away(
    browser: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.Q_CLUSTER = {"workers": 2}
    monkeypatch.setattr(messages, "broker", SilentBroker)

    page = browser.get("/admin/system/")

    assert page.status_code == 200
    html = page.content.decode()
    assert "Redis could not be asked; the log says why" in html
    assert "cache.example" not in html


def test_the_lag_is_of_the_latest_runs(seeded: Seeded) -> None:
    now = timezone.now()
    CronRun.objects.all().delete()
    assert lag(now).middle is None
    for number in range(20):
        slot = now - timedelta(hours=number + 1)
        CronRun.objects.create(
            job=seeded.job,
            slot=slot,
            status=RunStatus.SUCCEEDED,
            queued_at=slot,
            started_at=slot + timedelta(seconds=30 if number == 0 else 2),
            finished_at=slot + timedelta(seconds=40),
            attempt=1,
        )

    found = lag(now)

    assert (found.runs, found.middle, found.slow) == (20, 2.0, 30.0)


def test_a_prompt_that_nobody_begins_is_overdue(seeded: Seeded, browser: Client) -> None:
    now = timezone.now()
    CronJob.objects.filter(pk=seeded.job.pk).update(due_at=now - timedelta(minutes=4))

    found = lag(now)

    assert (found.overdue, found.overdue_since) == (1, now - timedelta(minutes=4))
    assert "1 prompt is overdue" in text_of(browser.get(SYSTEM).content.decode())


def test_what_failed_stands_first(seeded: Seeded) -> None:
    rows = upkeep_rows(timezone.now())

    assert rows[0].job.pk == "usage-check"
    assert (rows[0].state, rows[0].tone) == ("Failed", "bad")
    assert next(row.state for row in rows if row.job.pk == "discovery") == "Paused"
    assert len(rows) == MaintenanceJob.objects.count()


def test_what_checks_find_is_told_the_gravest_first() -> None:
    rows = check_rows(
        [
            Info("Small.", id="x.I1"),
            Error("Grave.", hint="Do it.", id="x.E1"),
            Warning("Middling.", id="x.W1"),
        ]
    )

    assert [(row.level, row.message) for row in rows] == [
        ("Error", "Grave."),
        ("Warning", "Middling."),
        ("Note", "Small."),
    ]
    assert rows[0].hint == "Do it."


def test_queries_are_few_whatever_the_rows(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(MOST_QUERIES):
        browser.get(SYSTEM)
    now = timezone.now()
    ProcessHeartbeat.objects.bulk_create(
        ProcessHeartbeat(
            id=uuid4(), role="web", host=f"host-{number}", pid=number, started_at=now, seen_at=now
        )
        for number in range(80)
    )
    with django_assert_max_num_queries(MOST_QUERIES):
        browser.get(SYSTEM)
