"""What another routing mode would have changed: pure, and by the rules that decide calls."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from governance.mode_changes import ModeChange, StoredCall, forecast, mode_after, model_after
from providers.usage import Usage

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def call(**fields: Any) -> StoredCall:
    defaults: dict[str, Any] = {
        "team_id": 1,
        "requested": "big",
        "mode": "suggest",
        "mode_source": "installation",
        "recommended": "p/small",
        "actual": "p/big",
        "other": "",
        "is_degraded": False,
        "cost": 100,
        "other_cost": None,
        "usage": Usage(output=10),
        "at": NOW,
    }
    return StoredCall(**{**defaults, **fields})


def change(mode: str, team_id: int | None = None, installation: str = "suggest") -> ModeChange:
    return ModeChange(team_id=team_id, mode=mode, installation=installation)


@pytest.mark.parametrize(
    ("source", "requested", "asked", "mode"),
    [
        ("installation", "big", change("enforced"), "enforced"),
        ("team", "big", change("enforced"), "suggest"),
        ("policy", "big", change("enforced"), "suggest"),
        ("auto", "auto", change("dry_run"), "suggest"),
        ("team", "big", change("enforced", 1), "enforced"),
        ("auto", "auto", change("dry_run", 1), "dry_run"),
        ("installation", "big", change("enforced", 1), "enforced"),
        ("key", "big", change("enforced", 1), "suggest"),
        ("request", "big", change("enforced", 1), "suggest"),
        ("team", "big", change("enforced", 2), "suggest"),
        ("team", "auto", change("", 1), "enforced"),
        ("team", "big", change("", 1, "dry_run"), "dry_run"),
    ],
)
def test_what_is_said_nearest_to_a_call_counts(
    source: str, requested: str, asked: ModeChange, mode: str
) -> None:
    assert mode_after(call(mode_source=source, requested=requested), asked) == mode


@pytest.mark.parametrize(
    ("fields", "mode", "model"),
    [
        ({}, "enforced", "p/small"),
        ({}, "dry_run", "p/big"),
        ({"mode": "enforced", "actual": "p/small", "other": "p/big"}, "suggest", "p/big"),
        ({"mode": "enforced", "actual": "p/small", "other": ""}, "suggest", ""),
        ({"mode": "dry_run", "other": "p/small"}, "enforced", "p/small"),
        ({"is_degraded": True}, "enforced", "p/big"),
    ],
)
def test_the_model_it_would_have_gone_to(fields: dict[str, Any], mode: str, model: str) -> None:
    assert model_after(call(**fields), mode) == model


def _foreseen(*calls: StoredCall, price: int | None = 30, population: int | None = None) -> Any:
    return forecast(
        calls,
        change("enforced"),
        price_of=lambda model, at, usage: price,
        population=len(calls) if population is None else population,
    )


def test_costs_are_of_the_same_tokens_at_the_other_models_price() -> None:
    found = _foreseen(call(), call(cost=50), call(recommended="p/big"), call(mode_source="key"))

    assert found.is_exact
    assert (found.looked_at, found.affected, found.moved, found.unknown) == (4, 3, 2, 0)
    assert (found.cost, found.would_cost, found.saves) == (150, 60, 90)
    (move,) = found.moves
    assert (move.model, move.instead, move.calls) == ("p/big", "p/small", 2)


def test_what_the_ledger_compared_is_taken_from_there() -> None:
    found = _foreseen(call(mode="dry_run", other="p/small", other_cost=77))

    assert found.would_cost == 77


def test_an_unknown_price_is_not_zero() -> None:
    found = _foreseen(call(), price=None)

    assert (found.affected, found.moved, found.unknown, found.saves) == (1, 0, 1, 0)


def test_a_sample_stands_for_all() -> None:
    calls = [call(stands_for=Fraction(10)), call(stands_for=Fraction(5, 2))]
    found = _foreseen(*calls, population=13)

    assert not found.is_exact
    assert (found.moved, found.cost, found.would_cost) == (12, 1250, 375)


def test_dearer_is_said_as_a_loss() -> None:
    assert _foreseen(call(), price=130).saves == -30
