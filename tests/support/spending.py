"""Processes that spend: many calls at once, of every kind of caller, on a runtime of their own.

`python -c "$START" arrange <upstream>` stores what they need, and `python -c "$START" spend <turns>
<dead>` makes the calls, after it has struck out the process `dead` as whoever watches it would.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.contrib.auth.models import User
from django.db import connection

from governance import keys, processes
from governance.calls import Caller, CallRequest, execute
from governance.errors import CallError
from governance.models import ApiKey, BudgetScope, Team
from governance.runtime import Runtime
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_remote,
    make_team,
)
from tests.support.processes import PATIENCE

START = "import django; django.setup(); from tests.support import spending; spending.main()"
AT_ONCE = 50
PLACES = 90
LARGEST_ANSWER = 60
PROVIDERS = ("first", "second")
# A budget of each scope, and those that roll or are for a run: each for the calls of a team of its
# own, named after it, but for the one that counts them all. Small enough to be reached.
LIMITS: dict[str, dict[str, Any]] = {
    "global": {"scope": "global", "metric": "cost", "hard_limit": 26_000_000},
    "team": {"scope": "team", "metric": "tokens", "interval": "year", "hard_limit": 700},
    "user": {"scope": "user", "metric": "cost", "interval": "quarter", "hard_limit": 1_200_000},
    "session": {"scope": "session", "metric": "requests", "interval": "total", "hard_limit": 12},
    "api_key": {"scope": "api_key", "metric": "output_tokens", "hard_limit": 500},
    "job": {"scope": "job", "metric": "cost", "interval": "month", "hard_limit": 1_200_000},
    "provider": {"scope": "provider", "metric": "cost", "hard_limit": 1_800_000},
    "model": {"scope": "model", "metric": "input_tokens", "hard_limit": 1_000},
    "rolling": {"scope": "team", "metric": "cost", "rolling": True, "hard_limit": 1_800_000},
    "run": {"scope": "job", "metric": "cost", "interval": "run", "hard_limit": 1_000_000},
}
INTERVALS = {"rolling": "hour"}
# Stops nobody, and counts everybody.
WATCHED = 10**15


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a team, by what its calls name."""

    team: Team
    keys: tuple[ApiKey, ...]
    people: tuple[User, ...]

    @classmethod
    def of(cls, name: str) -> Known:
        team = Team.objects.get(slug=name.replace("_", "-"))
        people = User.objects.filter(username__startswith=f"{name} ").order_by("pk")
        return cls(team, tuple(ApiKey.objects.filter(team=team).order_by("pk")), tuple(people))


def arrange(upstream: str) -> None:
    """Providers, teams with keys and people, and budgets."""
    for name in PROVIDERS:
        provider = make_remote(
            name=name,
            base_url=upstream,
            allow_private_base_url=True,
            concurrency_limit=PLACES,
            max_retries=1,
            retry_backoff_ms=1,
            breaker_threshold=100,
        )
        make_credential(provider, f"sk-of-the-{name}-provider")
        model = make_model(
            provider=provider,
            name=name,
            max_output_tokens=LARGEST_ANSWER,
        )
        make_price(model)
    for name, limit in LIMITS.items():
        team = make_team(slug=name.replace("_", "-"), name=name)
        for number in range(2):
            keys.create(team=team, name=f"{number}")
            User.objects.create_user(f"{name} {number}")
        given = {"interval": INTERVALS.get(name, "month"), **limit}
        make_policy(name=name, team=None if name == "global" else team, **given)
    watched = [("global", "run", False)]
    watched += [(scope, "day", False) for scope in BudgetScope.values]
    watched += [(scope, "week", True) for scope in BudgetScope.values]
    for scope, interval, rolling in watched:
        make_policy(
            name=f"{scope} watched, {interval}",
            scope=scope,
            metric="tokens",
            interval=interval,
            rolling=rolling,
            hard_limit=WATCHED,
        )


def request(known: Known, name: str, turn: int) -> CallRequest:
    """The call of that turn: of each kind there are two that take turns at their own pace."""
    one, other, third = turn % 2, turn // 2 % 2, turn // 4 % 2
    caller = Caller(
        team_id=known.team.pk,
        surface="openai",
        api_key_id=known.keys[one].pk,
        user_id=known.people[other].pk,
        session=f"talk {third}",
        job_id=_named(name, "job", one),
        run_id=_named(name, "run", turn // 60, one) if name == "run" or third else None,
    )
    body = {
        "model": f"{PROVIDERS[other]}/{PROVIDERS[other]}",
        "messages": [{"role": "user", "content": f"Turn {turn} of {name}."}],
        "max_tokens": 20 + turn % (LARGEST_ANSWER - 20),
    }
    return CallRequest(caller=caller, body=body)


def _named(*words: object) -> UUID:
    return uuid5(NAMESPACE_URL, " ".join(map(str, words)))


async def spend(turns: int, every: dict[str, Known]) -> None:
    """All calls, some at a time; whatever comes of them."""
    runtime = await Runtime.start(role="worker")
    say("ready")
    ends: Counter[str] = Counter()
    left = iter(range(turns * len(every)))
    names = list(every)

    async def take_turns() -> None:
        for number in left:
            name = names[number % len(names)]
            asked = request(every[name], name, number // len(names))
            try:
                await execute(asked, runtime=runtime)
                ends["answered"] += 1
            except CallError as error:
                ends[error.code] += 1

    try:
        await asyncio.gather(*(take_turns() for _ in range(AT_ONCE)))
    finally:
        await runtime.stop()
    say(f"done {dict(ends)}")


def say(text: str) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(f"{datetime.now().astimezone():%H:%M:%S} {text}\n")
    sys.stdout.flush()


def _be_patient() -> None:
    """Wait as long as the tests do for a file that others write to: on a loaded machine, SQLite
    may let one of many writers wait for long."""
    if connection.vendor == "sqlite":
        connection.settings_dict["OPTIONS"]["timeout"] = PATIENCE


def main() -> None:
    """As the first argument says."""
    what, *rest = sys.argv[1:]
    if what == "arrange":
        arrange(*rest)
        return
    _be_patient()
    turns, dead = map(int, rest)
    processes.mark_ended(socket.gethostname(), dead)
    asyncio.run(spend(turns, {name: Known.of(name) for name in LIMITS}))
