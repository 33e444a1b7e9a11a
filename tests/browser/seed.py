"""Plausible data for looking at the console: the same at every call, but for the clock.

Three teams and a month of calls, written through the same pure functions and services that real
calls and people use, so that windows, stories and sums agree.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.utils import timezone

from governance.models import Approval, CallStatus, CallText, ModelCall, Team
from governance.snapshot import load
from scheduling.models import CronJob, CronRun
from tests.browser.seed_budgets import (
    add_policies,
    ask_for_more,
    fit_to_what_was_used,
    open_windows,
    raise_alerts,
)
from tests.browser.seed_ledger import Ledger, give_holds_to_latest
from tests.browser.seed_organisation import (
    add_keys,
    add_people,
    add_processes,
    add_reliability,
    add_teams,
    register_providers,
)
from tests.browser.seed_schedules import (
    add_maintenance,
    add_runs,
    schedule_careful_prompt,
    schedule_prompts,
)

CALLS = 620


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a test may want to name."""

    administrator: User
    viewer: User
    member: User
    teams: tuple[Team, ...]
    pending: Approval
    job: CronJob
    run: CronRun
    call: ModelCall


def seed(now: datetime | None = None, *, calls_made: int = CALLS) -> Seeded:
    """Fill an empty database."""
    now = now or timezone.now()
    chance = random.Random(20260301)
    administrator, viewer, member = add_people()
    teams = add_teams(member)
    register_providers(now)
    add_reliability(now)
    made_keys = add_keys(teams, administrator, now)
    add_policies(teams, member)
    processes = add_processes(now)
    made_jobs = schedule_prompts(teams, administrator, now)
    ledger = Ledger(chance, teams, made_keys, load(), now)
    ledger.write(processes["web"], calls_made)
    runs = add_runs(made_jobs, ledger, now)
    open_windows(member, now)
    fit_to_what_was_used()
    give_holds_to_latest()
    pending = ask_for_more(teams, member, administrator, now)
    _texts(teams[1])
    raise_alerts(teams, now)
    schedule_careful_prompt(teams[0], administrator, now)
    add_maintenance(now)
    return Seeded(
        administrator=administrator,
        viewer=viewer,
        member=member,
        teams=teams,
        pending=pending,
        job=made_jobs[0],
        run=runs[0],
        call=ModelCall.objects.filter(status=CallStatus.SUCCEEDED, api_key__isnull=False).latest(
            "admitted_at"
        ),
    )


def _texts(team: Team) -> None:
    """What the last calls of a team that wants it kept asked and were answered."""
    team.text_days = 30
    team.save()
    asked = {
        "passages": [
            ["Settings", '{"temperature": 0.2}'],
            ["System", "You sort findings of a literature search. Answer in one paragraph."],
            ["User", "Which of these papers measure the effect directly, and which model it?"],
        ],
        "cut": False,
    }
    said = "Two measure it directly: Okafor (2024) and Lindqvist (2025). The other three model it."
    for call in ModelCall.objects.filter(team=team, status=CallStatus.SUCCEEDED)[:20]:
        CallText.objects.create(
            pk=call.pk,
            team=team,
            admitted_at=call.admitted_at,
            asked=asked,
            answered={"passages": [["Model", said]], "cut": False},
        )
