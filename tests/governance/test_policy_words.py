"""Policies, in words."""

from __future__ import annotations

from typing import Any

import pytest

from governance.amounts import amount_text
from governance.listing import listed
from governance.models import BudgetInterval, BudgetPolicy, BudgetScope, Team
from governance.models.budgets import ROLLING_INTERVALS
from governance.policy_words import interval_text, now_text, summary
from governance.scope_names import Names

SEARCH = Team(pk=7, slug="search", name="Search")
KNOWN = Names(teams={"7": SEARCH}, people={"3": "pat"}, jobs={"j": "Digest"})
ALERTS = "; alerts at 50, 75, 90 and 100 %"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scope": "global"}, "Everyone together: at most $5.00 a day, blocks"),
        ({"scope": "team"}, "Each team: at most $5.00 a day, blocks"),
        ({"scope": "team", "team": SEARCH}, "Search: at most $5.00 a day, blocks"),
        (
            {"scope": "user", "team": SEARCH},
            "Each person of Search: at most $5.00 a day, blocks",
        ),
        ({"scope": "user", "value": "3"}, "pat: at most $5.00 a day, blocks"),
        (
            {"scope": "session", "team": SEARCH, "value": "7:chat"},
            "Session chat of Search: at most $5.00 a day, blocks",
        ),
        ({"scope": "job", "value": "j"}, "Job Digest: at most $5.00 a day, blocks"),
        ({"scope": "api_key", "value": "9"}, "Key 9: at most $5.00 a day, blocks"),
        ({"scope": "provider", "value": "ollama"}, "Provider ollama: at most $5.00 a day, blocks"),
        (
            {"scope": "model", "value": "ollama/qwen", "team": SEARCH},
            "ollama/qwen, for Search: at most $5.00 a day, blocks",
        ),
        (
            {"interval": "hour", "rolling": True},
            "Each team: at most $5.00 in any 60 minutes, blocks",
        ),
        ({"action": "alert"}, "Each team: at most $5.00 a day, only alerts past that"),
        (
            {"soft_limit": 4 * 10**9, "action": "approval"},
            "Each team: at most $5.00 a day, needs approval past that; warns from $4.00",
        ),
        (
            {"soft_limit": 7, "hard_limit": None, "metric": "input_tokens"},
            "Each team: only warns, from 7 input tokens a day",
        ),
    ],
)
def test_a_policy_is_said_in_a_sentence(fields: dict[str, Any], words: str) -> None:
    policy = BudgetPolicy(**{"interval": "day", "hard_limit": 5 * 10**9, **fields})
    assert summary(policy, KNOWN) == words + ALERTS


def test_alerts_and_routing_are_said_where_there_are_any() -> None:
    policy = BudgetPolicy(hard_limit=1, metric="requests", thresholds=[], routing_mode="enforced")
    assert summary(policy, KNOWN) == (
        "Each team: at most 1 request a month, blocks; routing is enforced"
    )


def test_every_interval_and_scope_has_words() -> None:
    for interval in BudgetInterval:
        for rolling in (False, True) if interval in ROLLING_INTERVALS else (False,):
            policy = BudgetPolicy(interval=interval, rolling=rolling)
            assert interval_text(policy)
            assert now_text(policy)
    for scope in BudgetScope:
        assert summary(BudgetPolicy(scope=scope, hard_limit=1), KNOWN)


def test_numbers_are_read_out() -> None:
    assert [listed([75]), listed([75, 90])] == ["75", "75 and 90"]


@pytest.mark.parametrize(
    ("metric", "amount", "words"),
    [
        ("cost", 1_250_000_000, "$1.25"),
        ("tokens", 1200, "1,200 tokens"),
        ("input_tokens", 1, "1 input token"),
        ("output_tokens", 0, "0 output tokens"),
        ("requests", 1, "1 request"),
    ],
)
def test_amounts_are_said_in_the_metrics_unit(metric: str, amount: int, words: str) -> None:
    assert amount_text(metric, amount) == words
