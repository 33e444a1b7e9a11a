"""Very many calls in the ledger, made by the database itself: the same ones every time.

Twelve teams of very different size make them over a month. Most come with a key, some by schedule
or from a person; each key uses one model mostly, and routing is off, rehearsed or enforced by team.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from governance.ledger.recounting import recounts
from governance.ledger.rollups import Rollups
from governance.models import ApiKey, ModelCall, Team

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30
KEYS, PEOPLE, JOBS, MODELS = 2, 4, 3, 6
# Far from the identifiers that the database gives rows of its own accord.
FIRST_TEAM = 1001
# Of every thousand calls, how many each team makes.
SHARES = (300, 200, 130, 100, 80, 60, 40, 30, 20, 20, 10, 10)
# What the two databases write differently.
_WORDS = {
    "sqlite": {
        "id": "printf('%032x', number)",
        "job": "printf('%032x', team * 10 + number % {jobs} + 1)",
        "at": "strftime('%Y-%m-%d %H:%M:%f', {begin} + number * {step}, 'unixepoch')",
        "json": "'{}'",
        "list": "'[]'",
        "false": "0",
    },
    "postgresql": {
        "id": "CAST(lpad(to_hex(number), 32, '0') AS uuid)",
        "job": "CAST(lpad(to_hex(team * 10 + number % {jobs} + 1), 32, '0') AS uuid)",
        "at": "to_timestamp({begin} + number * {step})",
        "json": "CAST('{}' AS jsonb)",
        "list": "CAST('[]' AS jsonb)",
        "false": "FALSE",
    },
}


def add_up(calls: Iterable[ModelCall]) -> None:
    """Add calls that were stored past the ledger to the sums beside it."""
    usage = Rollups()
    usage.add(calls)
    usage.write()


def fill_ledger(count: int, *, begin: datetime = BEGIN, days: int = DAYS) -> None:
    """Store `count` calls, spread evenly over `days`, and the sums beside them."""
    _make_teams()
    with connection.cursor() as cursor:
        cursor.execute(_statement(count, begin, timedelta(days=days) / count))
        for recount in recounts(connection.vendor):
            cursor.execute(f"DELETE FROM {recount.table}")
            cursor.execute(recount.fill)


def _make_teams() -> None:
    numbers = range(FIRST_TEAM, FIRST_TEAM + len(SHARES))
    Team.objects.bulk_create(
        Team(pk=team, slug=f"team-{team}", name=f"Team {team}") for team in numbers
    )
    ApiKey.objects.bulk_create(
        ApiKey(
            pk=team * 10 + key,
            team_id=team,
            name=f"Key {key}",
            public_id=f"key{team}{key}",
            secret_hash="",
        )
        for team in numbers
        for key in range(1, KEYS + 1)
    )
    User.objects.bulk_create(
        User(pk=team * 10 + person, username=f"person-{team}-{person}")
        for team in numbers
        for person in range(1, PEOPLE + 1)
    )


def _any(seed: int, choices: int) -> str:
    """A number below `choices` that differs from call to call, with no pattern to be seen."""
    return f"((number * {seed} + {seed // 7}) % 1000003 % {choices})"


def _by_share(roll: str, shares: Iterable[int]) -> str:
    reached, cases = 0, []
    for number, share in enumerate(shares, start=FIRST_TEAM):
        reached += share
        cases.append(f"WHEN {roll} < {reached} THEN {number}")
    return f"(CASE {' '.join(cases)} END)"


def _statement(count: int, begin: datetime, step: timedelta) -> str:
    words = {
        name: text.replace("{jobs}", str(JOBS))
        .replace("{begin}", str(int(begin.timestamp())))
        .replace("{step}", repr(step.total_seconds()))
        for name, text in _WORDS[connection.vendor].items()
    }
    values = _values(words)
    return (
        f"WITH RECURSIVE numbers(number) AS (SELECT CAST(0 AS bigint) UNION ALL "
        f"SELECT number + 1 FROM numbers WHERE number < {count - 1}), "
        f"thrown AS (SELECT number, {_by_share(_any(7919, 1000), SHARES)} AS team, "
        f"{_any(104729, 1000)} AS origin, {_any(15485863, 1000)} AS fate, "
        f"{_any(32452843, 1000)} AS size FROM numbers), "
        f"placed AS (SELECT thrown.*, 1 + number % {KEYS} AS own_key, "
        f"(team * {KEYS} + number % {KEYS} + CASE WHEN origin % 4 = 0 THEN 1 ELSE 0 END) "
        f"% {MODELS} AS model FROM thrown), "
        f"sized AS (SELECT placed.*, 100 + size * 3 AS asked, 20 + size AS said, "
        f"CASE WHEN fate < 945 THEN 'succeeded' WHEN fate < 970 THEN 'failed' "
        f"WHEN fate < 980 THEN 'cancelled' WHEN fate < 995 THEN 'blocked' "
        f"ELSE 'unconfirmed' END AS became, "
        f"CASE team % 3 WHEN 0 THEN 'suggest' WHEN 1 THEN 'dry_run' ELSE 'enforced' END AS mode "
        f"FROM placed) "
        f"INSERT INTO governance_modelcall ({', '.join(values)}) "
        f"SELECT {', '.join(values.values())} FROM sized"
    )


def _values(words: dict[str, str]) -> dict[str, str]:
    made = "became IN ('succeeded', 'unconfirmed', 'cancelled')"
    cost = "(asked * (model + 1) * 100 + said * (model + 1) * 400)"
    plain: dict[str, Any] = {
        "surface": "CASE WHEN origin < 100 THEN 'schedule' WHEN origin < 200 THEN 'console' "
        "ELSE 'openai' END",
        "task_class": "CASE WHEN origin < 100 THEN 'background_automation' "
        "ELSE 'primary_interactive' END",
        "role": "'chat'",
        "streamed": words["false"],
        "cached": words["false"],
        "usage_reported": words["false"],
        "requested_model": "'auto'",
        "provider": "'provider-' || (model % 3 + 1)",
        "model": "'model-' || (model + 1)",
        "routing_mode": "mode",
        "failure_class": "CASE WHEN became <> 'failed' THEN '' WHEN size % 3 = 0 "
        "THEN 'rate_limited' ELSE 'transient_upstream' END",
        "error": "''",
        "session": "CASE WHEN origin >= 600 THEN 'session-' || (number / 50) ELSE '' END",
        "status": "became",
    }
    used = {
        "uncached_input_tokens": f"CASE WHEN {made} THEN asked END",
        "cache_read_tokens": f"CASE WHEN {made} THEN asked / 3 END",
        "cache_write_5m_tokens": f"CASE WHEN {made} THEN 0 END",
        "cache_write_1h_tokens": f"CASE WHEN {made} THEN 0 END",
        "output_tokens": f"CASE WHEN {made} THEN said END",
        "cost": f"CASE WHEN {made} THEN {cost} WHEN became = 'failed' THEN 0 END",
        "compared_cost": f"CASE WHEN {made} AND mode = 'dry_run' THEN {cost} * 7 / 10 "
        f"WHEN {made} AND mode = 'enforced' THEN {cost} * 13 / 10 END",
        "latency_ms": "CASE WHEN became IN ('succeeded', 'failed') "
        "THEN 150 + size * (model + 1) END",
        "overrun": "0",
        "estimate_upper": f"{cost} * 2",
    }
    bounds = ("token_bound", "output_bound", "expected_input_tokens", "expected_output_tokens")
    return {
        "id": words["id"],
        "team_id": "team",
        "api_key_id": "CASE WHEN origin >= 200 THEN team * 10 + own_key END",
        "user_id": "CASE WHEN origin >= 100 AND origin < 200 "
        f"THEN team * 10 + 1 + number % {PEOPLE} END",
        "job_id": f"CASE WHEN origin < 100 THEN {words['job']} END",
        "admitted_at": words["at"],
        "settled_at": words["at"],
        **plain,
        **used,
        **dict.fromkeys(bounds, "0"),
        "decision": words["json"],
        **dict.fromkeys(("evaluations", "holds", "leases", "attempts"), words["list"]),
    }
