"""Rows for tests, each valid and as plain as can be."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from django.db import models

from governance.models import BudgetPolicy, Price, PriceTier, Team
from providers.models import Credential, Provider, ProviderKind, ProviderModel, Secret

RowT = TypeVar("RowT", bound=models.Model)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_numbers = count(1)


def make_team(**fields: Any) -> Team:
    """An enabled team."""
    number = next(_numbers)
    return saved(Team(**{"slug": f"team-{number}", "name": f"Team {number}", **fields}))


def make_provider(**fields: Any) -> Provider:
    """A deterministic provider without limits; one with a base URL may lead to this machine."""
    defaults: dict[str, Any] = {
        "name": f"provider-{next(_numbers)}",
        "kind": ProviderKind.DETERMINISTIC,
        "concurrency_limit": None,
        "credential_concurrency_limit": None,
        "allow_private_base_url": bool(fields.get("base_url")),
        "first_token_timeout": min(30.0, fields.get("total_timeout", 60.0)),
    }
    return saved(Provider(**{**defaults, **fields}))


def make_remote(**fields: Any) -> Provider:
    """A provider that speaks OpenAI's protocol somewhere."""
    defaults = {"kind": ProviderKind.OPENAI_COMPATIBLE, "base_url": "https://api.example.com/v1"}
    return make_provider(**{**defaults, **fields})


def make_secret(text: str = "sk-a-secret-of-the-tests", **fields: Any) -> Secret:
    """A secret whose text is in the vault."""
    secret = Secret(**{"name": f"secret-{next(_numbers)}", **fields})
    secret.set_text(text)
    return saved(secret)


def make_credential(
    provider: Provider, text: str = "sk-a-secret-of-the-tests", **fields: Any
) -> Credential:
    """A credential of `provider`, behind those that it has; its secret is new unless given."""
    defaults: dict[str, Any] = {"position": provider.credentials.count()}
    if "secret" not in fields:
        defaults["secret"] = make_secret(text)
    return saved(Credential(**{**defaults, "provider": provider, **fields}))


def make_model(*, provider: Provider | None = None, **fields: Any) -> ProviderModel:
    """A chat model without a price."""
    defaults = {"name": f"model-{next(_numbers)}", "provider": provider or make_provider()}
    return saved(ProviderModel(**{**defaults, **fields}))


def make_price(model: ProviderModel, **fields: Any) -> Price:
    """$1 a million input tokens and $2 a million output tokens, since long ago."""
    defaults = {"uncached_input": 10**9, "output": 2 * 10**9, "effective_from": LONG_AGO}
    return saved(Price(**{**defaults, "model": model, **fields}))


def make_tier(price: Price, **fields: Any) -> PriceTier:
    """Twice those of `make_price`, above 200,000 input tokens."""
    defaults = {"above": 200_000, "uncached_input": 2 * 10**9, "output": 4 * 10**9}
    return saved(PriceTier(**{**defaults, "price": price, **fields}))


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
