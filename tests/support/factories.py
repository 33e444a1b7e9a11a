"""Rows for tests, each valid and as plain as can be."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from django.db import models

from governance.models import BudgetPolicy, Price, Team
from providers.models import Provider, ProviderKind, ProviderModel

RowT = TypeVar("RowT", bound=models.Model)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_numbers = count(1)


def make_team(**fields: Any) -> Team:
    """An enabled team."""
    number = next(_numbers)
    return saved(Team(**{"slug": f"team-{number}", "name": f"Team {number}", **fields}))


def make_provider(**fields: Any) -> Provider:
    """A deterministic provider."""
    defaults = {"name": f"provider-{next(_numbers)}", "kind": ProviderKind.DETERMINISTIC}
    return saved(Provider(**{**defaults, **fields}))


def make_model(*, provider: Provider | None = None, **fields: Any) -> ProviderModel:
    """A chat model without a price."""
    defaults = {"name": f"model-{next(_numbers)}", "provider": provider or make_provider()}
    return saved(ProviderModel(**{**defaults, **fields}))


def make_price(model: ProviderModel, **fields: Any) -> Price:
    """$1 a million input tokens and $2 a million output tokens, since long ago."""
    defaults = {"uncached_input": 10**9, "output": 2 * 10**9, "effective_from": LONG_AGO}
    return saved(Price(**{**defaults, "model": model, **fields}))


def make_policy(**fields: Any) -> BudgetPolicy:
    """Ten dollars a month for each team."""
    defaults: dict[str, Any] = {"name": f"policy {next(_numbers)}", "metric": "cost"}
    if "soft_limit" not in fields:
        defaults["hard_limit"] = 10 * 10**9
    return saved(BudgetPolicy(**{**defaults, **fields}))


def saved(row: RowT) -> RowT:
    """`row`, checked and stored."""
    row.full_clean()
    row.save()
    return row
