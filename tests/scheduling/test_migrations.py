"""The change to policies and places, there and back, with jobs and runs of the version before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
BEFORE, AFTER = "0001_initial", "0003_policy_indexes"
WITHOUT_ROUTING, LATEST = "0004_jobs_set_aside", "0005_routing_mode"


def migrated(to: str) -> Any:
    """The models as of that migration, with the database brought there."""
    executor = MigrationExecutor(connection)
    executor.migrate([("scheduling", to)])
    executor.loader.build_graph()
    return executor.loader.project_state([("scheduling", to)]).apps


def test_jobs_and_runs_of_the_version_before_go_on() -> None:
    try:
        # Which is the way back.
        old = migrated(BEFORE)
        team = old.get_model("governance", "Team").objects.create(slug="team", name="Team")
        jobs = old.get_model("scheduling", "CronJob").objects
        job = jobs.create(
            team=team, name="due", prompt="{{ no variable }}", anchor_at=NOON, next_slot=NOON
        )
        jobs.create(team=team, name="paused", prompt="Well?", anchor_at=NOON, enabled=False)
        runs = old.get_model("scheduling", "CronRun").objects
        under_way = runs.create(job=job, slot=NOON, status="running", queued_at=NOON)
        runs.create(job=job, slot=NOON.replace(hour=11), status="succeeded", queued_at=NOON)

        new = migrated(AFTER)

        jobs = new.get_model("scheduling", "CronJob").objects
        found = {one.name: (one.next_slot, one.due_at, one.prompt) for one in jobs.all()}
        # What looks like a template is sent as it was.
        assert found["due"] == (NOON, NOON, "{% raw %}{{ no variable }}{% endraw %}")
        assert found["paused"] == (None, None, "Well?")
        assert set(jobs.values_list("overlap", "misfire", "max_attempts")) == {
            ("forbid", "run_once", 1)
        }
        runs = new.get_model("scheduling", "CronRun").objects
        lanes = dict(runs.values_list("status", "lane"))
        assert lanes == {"running": 0, "succeeded": None}
        # A process of the version before still inserts rows without the new columns.
        with connection.cursor() as cursor:
            columns = "id, job_id, slot, trigger, status, reason, missed_before, token, queued_at"
            names = f"{columns}, model, output"
            values = "'{}', '{}', '{}', 'manual', 'succeeded', '', 0, '{}', '{}', '', ''"
            one = under_way.pk.hex.replace(under_way.pk.hex[:2], "ff", 1)
            cursor.execute(
                f"INSERT INTO scheduling_cronrun ({names}) VALUES ("
                + values.format(one, job.pk.hex, NOON, one, NOON)
                + ")"
            )
        assert runs.filter(trigger="manual", attempt=0).count() == 1
    finally:
        migrated(LATEST)


def test_the_way_back_keeps_one_of_a_jobs_open_runs_and_says_so_of_the_others() -> None:
    try:
        new = migrated(LATEST)
        team = new.get_model("governance", "Team").objects.create(slug="team", name="Team")
        jobs = new.get_model("scheduling", "CronJob").objects
        busy, idle = (
            jobs.create(team=team, name=name, prompt="Well?", anchor_at=NOON, overlap="allow")
            for name in ("busy", "idle")
        )
        runs = new.get_model("scheduling", "CronRun").objects
        # By job: the hour, how the run stands and the place that it has.
        for job, hour, status, lane in (
            (busy, 8, "queued", None),
            (busy, 9, "running", 0),
            (busy, 10, "running", 1),
            (busy, 11, "waiting_for_approval", 2),
            (idle, 9, "queued", None),
            (idle, 10, "queued", 0),
        ):
            slot = NOON.replace(hour=hour)
            trigger = "catch_up" if lane is None else "schedule"
            runs.create(
                job=job, slot=slot, status=status, lane=lane, trigger=trigger, queued_at=slot
            )

        runs = migrated(BEFORE).get_model("scheduling", "CronRun").objects

        still_open = runs.filter(status__in=["queued", "running"])
        assert sorted(still_open.values_list("job__name", flat=True)) == ["busy", "idle"]
        closed = runs.exclude(pk__in=[run.pk for run in still_open])
        assert set(closed.values_list("status", flat=True)) == {"skipped"}
        assert all("one run of a prompt at a time" in run.reason for run in closed)
        assert not closed.filter(finished_at=None).exists()
    finally:
        migrated(LATEST)


def test_jobs_keep_their_routing_to_themselves_there_and_back() -> None:
    try:
        old = migrated(WITHOUT_ROUTING)
        team = old.get_model("governance", "Team").objects.create(slug="team", name="Team")
        jobs = old.get_model("scheduling", "CronJob").objects
        jobs.create(team=team, name="due", prompt="Well?", anchor_at=NOON)

        jobs = migrated(LATEST).get_model("scheduling", "CronJob").objects
        assert jobs.get().routing_mode == ""
        jobs.update(routing_mode="enforced")
        # A process of the version before still inserts rows without the new column.
        old.get_model("scheduling", "CronJob").objects.create(
            team=team, name="later", prompt="And?", anchor_at=NOON
        )
        assert jobs.get(name="later").routing_mode == ""

        jobs = migrated(WITHOUT_ROUTING).get_model("scheduling", "CronJob").objects
        assert set(jobs.values_list("name", "prompt")) == {("due", "Well?"), ("later", "And?")}
    finally:
        migrated(LATEST)
