"""A budget that lets no call through without approval."""

from __future__ import annotations

import pytest

from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    Team,
)
from providers.identifiers import new_id
from tests.governance.call_approvals.asking import LIMIT
from tests.support.factories import make_policy, make_team


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(new_id())


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def policy() -> BudgetPolicy:
    return make_policy(hard_limit=LIMIT, action="approval")
