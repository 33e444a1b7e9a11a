"""What every window must have, summed up anew from the ledger's rows and apart from the product."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.support.records import Records, as_instant, as_uuid

CALLS = (
    "id",
    "team_id",
    "api_key_id",
    "user_id",
    "session",
    "job_id",
    "run_id",
    "provider",
    "model",
    "status",
    "admitted_at",
    *("uncached_input_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens"),
    "output_tokens",
    "cost",
)
WINDOWS = (
    *("p.name", "p.scope", "p.metric", "p.interval", "p.team_id"),
    *("w.scope_value", "w.starts_at", "w.ends_at", "w.consumed", "w.held"),
)
ENDED = {"succeeded", "failed", "cancelled", "unconfirmed"}


@dataclass(frozen=True, slots=True)
class Row:
    """A call of the ledger, by what budgets ask of it."""

    id: UUID
    team: int
    values: dict[str, str | None]
    run: UUID
    status: str
    admitted_at: datetime
    amounts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """A window's counters beside what the ledger says of it."""

    policy: str
    scope_value: str
    consumed: int
    held: int
    summed: int


def rows(records: Records) -> list[Row]:
    """The calls that were charged for, or may be."""
    found = records.rows(f"SELECT {', '.join(CALLS)} FROM governance_modelcall")
    every = (dict(zip(CALLS, row, strict=True)) for row in found)
    return [_row(one) for one in every if one["status"] in ENDED]


def tallies(records: Records) -> list[Tally]:
    """Every window. Only once nothing is under way."""
    calls = rows(records)
    found = records.rows(
        f"SELECT {', '.join(WINDOWS)} FROM governance_budgetwindow w"
        " JOIN governance_budgetpolicy p ON p.id = w.policy_id"
    )
    return [_tally(calls, dict(zip(WINDOWS, row, strict=True))) for row in found]


def used(records: Records) -> dict[tuple[Any, ...], list[int]]:
    """By team, key, person, provider and model: requests, tokens of output, and cost."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for one in rows(records):
        values = one.values
        who = tuple(int(values[name] or 0) for name in ("team", "api_key", "user"))
        provider, _, model = (values["model"] or "").partition("/")
        sums = found.setdefault((*who, provider, model), [0, 0, 0])
        for index, metric in enumerate(("requests", "output_tokens", "cost")):
            sums[index] += one.amounts[metric]
    return {key: sums for key, sums in found.items() if any(sums)}


def reported(records: Records, table: str) -> dict[tuple[Any, ...], list[int]]:
    """The same by a table of sums that reports are made of."""
    by = "team_id, api_key_id, user_id, provider, model"
    found = records.rows(
        f"SELECT {by}, SUM(requests), SUM(output_tokens), SUM(cost) FROM {table} GROUP BY {by}"
    )
    every = {tuple(row[:5]): [int(one) for one in row[5:]] for row in found}
    return {key: sums for key, sums in every.items() if any(sums)}


def _tally(calls: list[Row], window: dict[str, Any]) -> Tally:
    summed = sum(one.amounts[window["p.metric"]] for one in calls if _counts(window, one))
    return Tally(
        policy=window["p.name"],
        scope_value=window["w.scope_value"],
        consumed=window["w.consumed"],
        held=window["w.held"],
        summed=summed,
    )


def _counts(window: dict[str, Any], call: Row) -> bool:
    """Whether the window is the one of its policy that the call is counted on."""
    value, run = window["w.scope_value"], ""
    if window["p.interval"] == "run":
        value, _, run = value.partition("|")
    ends_at = window["w.ends_at"]
    return (
        window["p.team_id"] in (None, call.team)
        and call.values[window["p.scope"]] == value
        and run in ("", str(call.run))
        and as_instant(window["w.starts_at"]) <= call.admitted_at
        and (ends_at is None or call.admitted_at < as_instant(ends_at))
    )


def _row(one: dict[str, Any]) -> Row:
    entered = sum(one[name] or 0 for name in CALLS if name.endswith("_tokens")) - (
        one["output_tokens"] or 0
    )
    left = one["output_tokens"] or 0
    # Neither what was never begun was a request, nor what was given up before it was sent.
    made = one["output_tokens"] is not None and (one["status"] != "cancelled" or entered + left > 0)
    return Row(
        id=as_uuid(one["id"]),
        team=one["team_id"],
        values=_values(one),
        run=as_uuid(one["run_id"] or one["id"]),
        status=one["status"],
        admitted_at=as_instant(one["admitted_at"]),
        amounts={
            "cost": one["cost"] or 0,
            "tokens": entered + left,
            "input_tokens": entered,
            "output_tokens": left,
            "requests": int(made),
        },
    )


def _values(one: dict[str, Any]) -> dict[str, str | None]:
    """By scope, the value that the call is counted for."""
    team, key, user, job = one["team_id"], one["api_key_id"], one["user_id"], one["job_id"]
    return {
        "global": "",
        "team": f"{team}",
        "user": None if user is None else f"{user}",
        "session": f"{team}:{one['session']}" if one["session"] else None,
        "api_key": None if key is None else f"{key}",
        "job": None if job is None else f"{as_uuid(job)}",
        "provider": one["provider"],
        "model": f"{one['provider']}/{one['model']}",
    }
