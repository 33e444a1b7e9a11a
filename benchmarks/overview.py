"""The console's overview, spend explorer and list of calls with a million calls in the ledger.

    .venv/bin/python -m benchmarks.overview [--rows 1000000] [--database sqlite]

Each database is filled anew, with a month that ends now, in a directory that is gone afterwards.
Printed are the middle and the longest of several requests, each through the whole of Django as the
administrator of a zone whose days are not those of UTC; what the middle one took of this process's
CPU, which says more where the machine has other work; and the queries each made.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from benchmarks.ledger import filled, measure_each, say

TIMES = 9
GOAL_MS = 300
DAYS = 30
ZONE = "Europe/Prague"
PAGES = (
    "/admin/",
    "/admin/?by=model",
    "/admin/?period=today",
    "/admin/?period=month",
    "/admin/?team={team}",
    "/admin/?team={team}&by=provider&period=7days",
    "/admin/spend/",
    "/admin/spend/?by=key&team={team}",
    "/admin/spend/?by=person&step=week",
    "/admin/spend/?by=model&format=csv",
    "/admin/system/",
    "/admin/governance/modelcall/?period=24h",
)


def main() -> None:
    """Measure each database in a process of its own."""
    measure_each(
        "benchmarks.overview",
        "Measure the console with a large ledger.",
        _measure,
        note=f"; the goal is {GOAL_MS} ms",
    )


def _measure(rows: int) -> None:
    begin = datetime.now(UTC) - timedelta(days=DAYS)
    took = filled(rows, beside=_surroundings, begin=begin, days=DAYS)
    say(f"  filled in {took:.0f} s")
    from django.conf import settings
    from django.test import Client

    from tests.support.ledger_rows import FIRST_TEAM

    settings.ALLOWED_HOSTS = ["*"]
    browser = Client()
    browser.force_login(_administrator())
    browser.cookies["palyra_zone"] = ZONE
    for page in PAGES:
        _repeat(browser, page.format(team=FIRST_TEAM))


def _administrator() -> Any:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("root", "root@example.com", "a-long-password-1")


def _surroundings() -> None:
    """Providers and models as the calls name them, and budgets with windows of now."""
    from django.utils import timezone

    from governance.budgets import Subject
    from governance.ledger import open_window
    from governance.models import BudgetPolicy, Team
    from governance.snapshot import policy_entry
    from palyra_site.vault_check import vault_in_order
    from providers.identifiers import new_id
    from tests.support.factories import make_model, make_provider

    vault_in_order()
    for number in (1, 2, 3):
        provider = make_provider(name=f"provider-{number}")
        for model in (number, number + 3):
            make_model(provider=provider, name=f"model-{model}")
    monthly = {"metric": "cost", "interval": "month", "hard_limit": 10**15}
    policies = [
        BudgetPolicy.objects.create(name="Everyone, a month", scope="global", **monthly),
        BudgetPolicy.objects.create(name="Each team, a month", scope="team", **monthly),
    ]
    now = timezone.now()
    for row in policies:
        policy = policy_entry(row)
        subjects = [Subject(team_id=team.pk, call_id=new_id()) for team in Team.objects.all()]
        for key in {policy.window(one, now) for one in subjects}:
            open_window(policy, key)


def _repeat(browser: Any, page: str) -> None:
    from django.db import connection

    made: list[str] = []

    def counted(execute: Any, sql: str, *rest: Any) -> Any:
        made.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(counted):
        _open(browser, page)
    times, used = [], []
    for _ in range(TIMES):
        began, worked = time.perf_counter(), time.process_time()
        _open(browser, page)
        times.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - worked) * 1000)
    middle, longest = statistics.median(times), max(times)
    late = "" if middle < GOAL_MS else "  too slow"
    say(
        f"  {page:50}{middle:7.0f}{longest:7.0f} ms  {statistics.median(used):5.0f} ms of CPU  "
        f"{len(made)} queries{late}"
    )


def _open(browser: Any, page: str) -> None:
    response = browser.get(page)
    assert response.status_code == HTTPStatus.OK, (page, response.status_code)
    if response.streaming:
        b"".join(response.streaming_content)


if __name__ == "__main__":
    main()
