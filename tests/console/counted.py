"""Calls that stand in the ledger and in the sums beside it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from governance.models import CallStatus, ModelCall, Surface, TaskClass
from tests.support.ledger_rows import add_up

DOLLAR = 10**9


def make_call(team: Any, at: datetime, **fields: Any) -> ModelCall:
    """A call of a dollar that succeeded, unless `fields` say otherwise."""
    plain = {
        "surface": Surface.OPENAI,
        "task_class": TaskClass.PRIMARY_INTERACTIVE,
        "requested_model": "large",
        "provider": "host",
        "model": "large",
        "status": CallStatus.SUCCEEDED,
        "cost": DOLLAR,
    }
    call = ModelCall.objects.create(team=team, admitted_at=at, **{**plain, **fields})
    add_up([call])
    return call
