"""Calls that were made and charged, for budgets to count."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from governance.models import ModelCall, Team
from tests.support.ledger_rows import add_up

DOLLAR = 10**9


def spent(team: Team, cost: int, at: datetime | None = None, **fields: Any) -> ModelCall:
    """A call that was made and charged."""
    call = ModelCall.objects.create(
        team=team,
        admitted_at=at or timezone.now(),
        status="succeeded",
        cost=cost,
        surface="openai",
        task_class="primary_interactive",
        **{
            "uncached_input_tokens": 100,
            "output_tokens": 50,
            "provider": "openai",
            "model": "gpt",
            **fields,
        },
    )
    add_up([call])
    return call
