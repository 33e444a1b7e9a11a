"""What an empty Palyra is given on its first start, so that it can be used at once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Model

from governance import keys
from governance.models import (
    BudgetInterval,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    Membership,
    MembershipRole,
    Price,
    Team,
)
from governance.money import to_nano_dollars
from providers.models import ModelRole, Provider, ProviderKind, ProviderModel

ADMINISTRATOR = "admin"
DEMO = "demo"
DEMO_MODEL = "demo-chat"
SPEAKS_NOT = {"streaming": False, "tools": False, "json_mode": False}
# What each role's model is called, what a million tokens in and out of it cost, and what it can do.
DEMO_MODELS: tuple[tuple[ModelRole, str, tuple[str, str], dict[str, Any]], ...] = (
    (ModelRole.CHAT, DEMO_MODEL, ("0.50", "1.50"), {}),
    (
        ModelRole.EMBEDDINGS,
        "demo-embeddings",
        ("0.02", "0"),
        {"context_window": 8192, "max_output_tokens": 1, **SPEAKS_NOT},
    ),
    (
        ModelRole.AUDIO_TRANSCRIPTION,
        "demo-transcription",
        ("1.00", "2.00"),
        {"audio": True, **SPEAKS_NOT},
    ),
)
# No characters that are taken for each other; 20 of them are 98 bits.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS = 4
GROUP_LENGTH = 5


@dataclass(frozen=True, slots=True)
class FirstUse:
    """What was made; the password and the key are shown once and kept nowhere in clear."""

    username: str
    password: str
    key: str

    def __repr__(self) -> str:
        return f"FirstUse({self.username})"


@transaction.atomic
def prepare_first_use() -> FirstUse | None:
    """Make the first administrator and a demonstration team, provider and budget, all or nothing.

    None, and nothing made, if anyone has an account already: what an operator removed stays away.
    """
    if get_user_model()._default_manager.exists():
        return None
    password = new_password()
    administrator = get_user_model()._default_manager.create_superuser(
        username=ADMINISTRATOR, email="", password=password
    )
    team = _stored(Team(slug=DEMO, name="Demo"))
    _stored(Membership(team=team, user=administrator, role=MembershipRole.MANAGER))
    _make_provider()
    _make_budget(team)
    key = keys.create(team=team, name="First key", created_by=administrator)
    return FirstUse(username=ADMINISTRATOR, password=password, key=key.text)


def new_password() -> str:
    """A random password that can be read aloud, such as `h7kqz-…`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def _make_provider() -> None:
    """One model for each role, without limits: nothing is behind it that could be overrun."""
    provider = _stored(
        Provider(
            name=DEMO,
            display_name="Demonstration",
            kind=ProviderKind.DETERMINISTIC,
            concurrency_limit=None,
            credential_concurrency_limit=None,
        )
    )
    for role, name, price, sizes in DEMO_MODELS:
        model = _stored(
            ProviderModel(provider=provider, name=name, role=role, is_default=True, **sizes)
        )
        entered, left = (to_nano_dollars(Decimal(amount)) for amount in price)
        _stored(Price(model=model, uncached_input=entered, output=left, source="demonstration"))


def _make_budget(team: Team) -> None:
    _stored(
        BudgetPolicy(
            name="Demo: monthly cost",
            scope=BudgetScope.TEAM,
            team=team,
            metric=BudgetMetric.COST,
            interval=BudgetInterval.MONTH,
            soft_limit=to_nano_dollars(Decimal(8)),
            hard_limit=to_nano_dollars(Decimal(10)),
        )
    )


def _stored(record: Any) -> Any:
    assert isinstance(record, Model)
    record.full_clean()
    record.save()
    return record
