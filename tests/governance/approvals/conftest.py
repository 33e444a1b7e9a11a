"""A team, its budget, and who asks and decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from governance.approvals import request_more
from governance.models import (
    Approval,
    BudgetPolicy,
    Team,
)
from tests.governance.approvals.dates import DOLLAR, NOW


@pytest.fixture
def team() -> Team:
    return Team.objects.create(slug="blue", name="Blue")


@pytest.fixture
def policy(team: Team) -> BudgetPolicy:
    return BudgetPolicy.objects.create(name="Blue monthly", team=team, hard_limit=10 * DOLLAR)


@pytest.fixture
def member() -> User:
    return User.objects.create_user("member")


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def ask(team: Team, policy: BudgetPolicy, member: User) -> Callable[..., Approval]:
    def send(**changes: Any) -> Approval:
        asked: dict[str, Any] = {
            "team": team,
            "policy": policy,
            "requested_by": member,
            "amount": 5 * DOLLAR,
            "reason": "Quarter end.",
            "now": NOW,
        }
        return request_more(**asked | changes)

    return send
