"""A team and a prompt of its own that is scheduled."""

from __future__ import annotations

import pytest
from django.utils import timezone

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob
from tests.support.factories import make_model, make_team


@pytest.fixture
def team(db: None) -> Team:
    make_model(name="large", is_default=True)
    return make_team(name="Blue")


@pytest.fixture
def job(team: Team) -> CronJob:
    return jobs.create_job(
        team=team,
        name="Digest",
        prompt="Sum it up.",
        schedule_kind="cron",
        cron="0 9 * * *",
        zone="Europe/Prague",
        now=timezone.now(),
    )
