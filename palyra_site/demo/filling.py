"""Filling an empty installation, whole or not at all."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model

from governance import keys
from governance.models import BudgetPolicy, ModelCall, Team
from governance.snapshot import load
from palyra_site.demo import calls, happenings, history, scene, schedules
from palyra_site.demo.scene import Scene
from providers.models import Provider
from scheduling.models import CronJob, CronRun

SEED = 20260301
# Whoever has any of these does not have an empty installation.
KINDS: tuple[tuple[type[Model], str, str], ...] = (
    (User, "person", "people"),
    (Team, "team", "teams"),
    (Provider, "provider", "providers"),
    (BudgetPolicy, "budget", "budgets"),
    (CronJob, "scheduled prompt", "scheduled prompts"),
    (ModelCall, "call", "calls"),
)
REVOKED = "Old helpdesk"


class NotEmpty(Exception):
    """There is something already; `found` says what."""

    def __init__(self, found: list[str]) -> None:
        self.found = found
        super().__init__(", ".join(found))


def contents() -> list[str]:
    """What there is already, in words: 1 person, 2 teams."""
    counts = [(model._default_manager.count(), one, many) for model, one, many in KINDS]
    return [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]


@transaction.atomic
def fill(*, now: datetime, seed: int = SEED, as_if_running: bool = False) -> Scene:
    """Fill an empty installation with history that ends at `now`, all of it or nothing.

    The administrator has no password yet. With `as_if_running` there are processes that seem to
    run, for pictures. Raises `NotEmpty` where there is anything already.
    """
    found = contents()
    if found:
        raise NotEmpty(found)
    made = scene.build(now, timedelta(days=history.DAYS))
    jobs = schedules.build(made, now)
    writer = calls.Writer(random.Random(seed), load())  # noqa: S311 - plausible is enough
    since = now - timedelta(days=history.DAYS)
    rows = history.write(writer, made, now)
    runs, of_runs = schedules.write(writer, made, jobs, since, now)
    under_way = happenings.as_if_running(writer, made, now) if as_if_running else []
    calls.store([*rows, *of_runs, *under_way])
    CronRun.objects.bulk_create(runs, batch_size=500)
    keys.revoke(made.keys[REVOKED], now=now - timedelta(days=3))
    happenings.open_windows(made.teams.values(), now)
    scene.tighten()
    calls.give_holds_to_latest()
    happenings.decide_requests(made, now)
    happenings.raise_alerts(made, now)
    return made
