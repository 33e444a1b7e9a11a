"""Calls as CSV or JSON Lines, chunk by chunk: however many there are, few are in memory at once.

Each chunk is a query of its own that begins behind the last call before it, so an export holds no
transaction and no cursor open, and who reads slowly keeps nobody waiting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from governance.models import ModelCall
from governance.money import decimal_text
from governance.usage.reports import of_calls
from providers.api.conventions import moment_text
from providers.csv_cells import cell, csv_bytes

AT_ONCE = 1000
# By column, the field of the ledger.
COLUMNS = {
    "id": "id",
    "admitted_at": "admitted_at",
    "settled_at": "settled_at",
    "team": "team__slug",
    "key": "api_key__public_id",
    "person": "user__username",
    "job_id": "job_id",
    "run_id": "run_id",
    "session": "session",
    "surface": "surface",
    "task_class": "task_class",
    "role": "role",
    "streamed": "streamed",
    "cached": "cached",
    "requested_model": "requested_model",
    "provider": "provider",
    "model": "model",
    "routing_mode": "routing_mode",
    "status": "status",
    "failure_class": "failure_class",
    "error": "error",
    "latency_ms": "latency_ms",
    "first_token_ms": "first_token_ms",
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_5m_tokens": "cache_write_5m_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "output_tokens": "output_tokens",
    "usage_reported": "usage_reported",
    "estimate_upper": "estimate_upper",
    "cost": "cost",
    "compared_cost": "compared_cost",
    "overrun": "overrun",
}
MONEY = {"estimate_upper", "cost", "compared_cost", "overrun"}
_AT, _ID = (list(COLUMNS).index(name) for name in ("admitted_at", "id"))
_MONEY = [name in MONEY for name in COLUMNS]

Row = Sequence[Any]


def csv_lines(*, since: datetime, until: datetime, where: Mapping[str, Any]) -> Iterator[bytes]:
    """The calls of a period, oldest first, as CSV with a line of names; empty is unknown."""
    yield csv_bytes([list(COLUMNS)])
    for chunk in _chunks(since, until, where):
        yield csv_bytes([cell(value) for value in row] for row in chunk)


def json_lines(*, since: datetime, until: datetime, where: Mapping[str, Any]) -> Iterator[bytes]:
    """The same as one JSON object on each line."""
    for chunk in _chunks(since, until, where):
        objects = (dict(zip(COLUMNS, row, strict=True)) for row in chunk)
        yield "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode()


def _chunks(since: datetime, until: datetime, where: Mapping[str, Any]) -> Iterator[list[Row]]:
    calls = ModelCall.objects.filter(admitted_at__lt=until, **of_calls(where)).order_by(
        "admitted_at", "id"
    )
    rows = calls.values_list(*COLUMNS.values())
    reached = Q(admitted_at__gte=since)
    while chunk := list(rows.filter(reached)[:AT_ONCE]):
        last = chunk[-1]
        # The first condition says nothing new; it lets the database seek in the index.
        reached = Q(admitted_at__gte=last[_AT]) & (
            Q(admitted_at__gt=last[_AT]) | Q(pk__gt=last[_ID])
        )
        yield [_texts(row) for row in chunk]


def _texts(row: Row) -> Row:
    """Values as the API writes them."""
    return [
        _text(value, money=money) if value is not None else None
        for value, money in zip(row, _MONEY, strict=True)
    ]


def _text(value: Any, *, money: bool) -> Any:
    if money:
        return decimal_text(value)
    if isinstance(value, datetime):
        return moment_text(value)
    return str(value) if isinstance(value, UUID) else value
