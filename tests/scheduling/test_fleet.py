"""Thirty days of two hundred jobs on a fleet where everything that can go wrong does, seeded."""

from __future__ import annotations

from itertools import count
from random import Random
from uuid import UUID

import pytest
from django.utils import timezone

from governance.models import Team
from scheduling.models import CronJob
from tests.scheduling.fleet import Fleet
from tests.scheduling.fleet_jobs import DAYS, START, make_jobs

SEED, WHOLE = 2026, 30
# In thirty days, so that nothing is passed because it never came to it.
AT_LEAST = {
    "accounted": 2500,
    "missed": 150,
    "caught up": 80,
    "skipped": 20,
    "failed again": 80,
    "unconfirmed": 10,
    "unconfirmed again": 3,
    "refused ends": 3,
    "approved": 5,
    "denied": 5,
    "replayed": 15,
    "pauses": 5,
    "overtaken": 30,
    "cancelled": 15,
}


def test_every_time_is_accounted_for_once_and_every_policy_obeyed(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(SEED)
    # Jitter goes by the jobs' ids: the same in each run.
    ids = (UUID(int=random.getrandbits(128)) for _ in count())
    monkeypatch.setattr(CronJob._meta.pk, "_get_default", ids.__next__)
    monkeypatch.setattr(timezone, "now", lambda: START)
    fleet = Fleet(make_jobs(team, random), random)

    fleet.run(monkeypatch)

    fleet.audit.check_in_the_end()
    for what, times in AT_LEAST.items():
        # What is rare may fall into the days that are not simulated.
        wanted = times if DAYS == WHOLE else times * DAYS // WHOLE // 3
        assert fleet.audit.happened[what] >= wanted, (what, fleet.audit.happened)
