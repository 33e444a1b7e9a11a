"""Who is in the demonstration: four teams with people and keys, providers that only rehearse, and
budgets. Nothing in it reaches a host, so a demonstration can be left running anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from governance import keys
from governance.models import (
    ApiKey,
    BudgetPolicy,
    Channel,
    ChannelKind,
    Membership,
    MembershipRole,
    Price,
    Team,
    governance_settings,
)
from governance.money import NANO_DOLLARS, to_nano_dollars
from providers.models import Provider, ProviderKind, ProviderModel, failover_policy

ADMINISTRATOR = "admin"
DOLLAR = NANO_DOLLARS
# By provider: what it is called, how many calls it takes at once, and how long a rehearsal takes.
PROVIDERS = (
    ("openai", "OpenAI (rehearsed)", 40, 700),
    ("anthropic", "Anthropic (rehearsed)", 24, 900),
    ("in-house", "In-house GPUs (rehearsed)", 8, 400),
)
# By model: its provider, tiers of cost and latency, and what a million tokens cost: input, output,
# and input that the provider's own cache had.
MODELS: tuple[tuple[str, str, int, int, tuple[str, str, str | None]], ...] = (
    ("openai", "gpt-4.1", 3, 2, ("2.00", "8.00", "0.50")),
    ("openai", "gpt-4.1-mini", 2, 1, ("0.40", "1.60", "0.10")),
    ("anthropic", "claude-sonnet-4", 3, 2, ("3.00", "15.00", "0.30")),
    ("anthropic", "claude-haiku-4", 2, 1, ("1.00", "5.00", "0.10")),
    ("in-house", "llama-3.3-70b", 1, 2, ("0.20", "0.20", None)),
)
DEFAULT_MODEL = "gpt-4.1-mini"
TEAMS = (
    ("support", "Customer support", "Europe/Prague", "dry_run"),
    ("research", "Research", "Europe/Prague", ""),
    ("engineering", "Engineering", "America/Los_Angeles", ""),
    ("billing", "Billing", "America/New_York", "enforced"),
)
# User name, first and last name, teams with the role there.
PEOPLE: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("mira", "Mira", "Okafor", {"support": "manager", "research": "manager"}),
    ("jonas", "Jonas", "Lind", {"support": "member"}),
    ("chen", "Chen", "Wei", {"engineering": "manager"}),
    ("rosa", "Rosa", "Duarte", {"engineering": "member", "research": "member"}),
    ("sam", "Sam", "Abbott", {"billing": "manager"}),
)
# Team, name, days until it expires.
KEYS = (
    ("support", "Helpdesk widget", 80),
    ("support", "Ticket triage", None),
    ("research", "Notebook server", None),
    ("engineering", "Code review", 200),
    ("engineering", "Editor plug-ins", 90),
    ("billing", "Invoice reader", 20),
    ("support", "Old helpdesk", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What was made, by name."""

    administrator: User
    people: dict[str, User]
    teams: dict[str, Team]
    keys: dict[str, ApiKey]
    channel: Channel


def build(now: datetime, history: timedelta) -> Scene:
    """Make everything that history is made of; prices hold since before the history."""
    administrator = User.objects.create_user(
        ADMINISTRATOR, "admin@example.com", first_name="Ada", last_name="Novak", is_staff=True
    )
    administrator.is_superuser = True
    administrator.save()
    teams = {slug: _team(slug, name, zone, mode) for slug, name, zone, mode in TEAMS}
    people = {name: _person(name, first, last) for name, first, last, _ in PEOPLE}
    for name, _, _, roles in PEOPLE:
        for slug, role in roles.items():
            _stored(Membership(team=teams[slug], user=people[name], role=MembershipRole(role)))
    _registry(now - history - timedelta(days=10))
    governance_settings()
    failover_policy()
    channel = _stored(Channel(name="Operations", kind=ChannelKind.CONSOLE))
    made_keys = {
        name: _key(teams[slug], name, administrator, now + timedelta(days=days) if days else None)
        for slug, name, days in KEYS
    }
    _policies(teams)
    return Scene(
        administrator=administrator, people=people, teams=teams, keys=made_keys, channel=channel
    )


def _team(slug: str, name: str, zone: str, mode: str) -> Team:
    team: Team = _stored(Team(slug=slug, name=name, zone=zone, routing_mode=mode))
    return team


def _key(team: Team, name: str, by: User, expires_at: datetime | None) -> ApiKey:
    """A key whose secret nobody is told. Where the history ended long ago it may have expired."""
    key = keys.create(team=team, name=name, created_by=by).record
    key.expires_at = expires_at
    key.save()
    return key


def _person(username: str, first: str, last: str) -> User:
    """Somebody who cannot sign in until an administrator gives them a password."""
    return User.objects.create_user(
        username, f"{username}@example.com", first_name=first, last_name=last
    )


def _registry(since: datetime) -> None:
    providers = {
        name: _stored(
            Provider(
                name=name,
                display_name=shown,
                kind=ProviderKind.DETERMINISTIC,
                concurrency_limit=places,
                credential_concurrency_limit=None,
                rehearsal_latency_ms=latency,
            )
        )
        for name, shown, places, latency in PROVIDERS
    }
    for provider, name, cost_tier, latency_tier, rates in MODELS:
        model = _stored(
            ProviderModel(
                provider=providers[provider],
                name=name,
                is_default=name == DEFAULT_MODEL,
                cost_tier=cost_tier,
                latency_tier=latency_tier,
            )
        )
        paid, answered, read = rates
        _stored(
            Price(
                model=model,
                effective_from=since,
                uncached_input=_dollars(paid),
                output=_dollars(answered),
                cache_read=None if read is None else _dollars(read),
                source="demonstration",
            )
        )


def _dollars(text: str) -> int:
    return to_nano_dollars(Decimal(text))


def _policies(teams: dict[str, Team]) -> None:
    """Limits are provisional where history is to come close to them; `tighten` sets those."""
    monthly = {"metric": "cost", "interval": "month", "hard_limit": 1000 * DOLLAR}
    for name, fields in (
        ("Everyone, a month", {**monthly, "scope": "global"}),
        ("Support, a month", {**monthly, "scope": "team", "team": teams["support"]}),
        ("Research, a month", {**monthly, "scope": "team", "team": teams["research"]}),
        (
            "Engineering, a month",
            {**monthly, "scope": "team", "team": teams["engineering"], "action": "degrade"},
        ),
        (
            "Billing, requests a day",
            {"scope": "team", "team": teams["billing"], "metric": "requests", "interval": "day"}
            | {"hard_limit": 60},
        ),
        (
            "Each team, tokens a day",
            {"scope": "team", "metric": "tokens", "interval": "day", "soft_limit": 1_500_000},
        ),
        (
            "Each run of a schedule",
            {"scope": "job", "metric": "cost", "interval": "run", "hard_limit": DOLLAR},
        ),
    ):
        usual = {"action": "block", "zone": "Europe/Prague"}
        _stored(BudgetPolicy(name=name, **{**usual, **fields}))


def _stored(record: Any) -> Any:
    record.full_clean()
    record.save()
    return record


# Of each of these, what the month that runs has come to is so many per cent.
TIGHT = (("Support, a month", 93), ("Engineering, a month", 78), ("Research, a month", 61))
EVERYONE = ("Everyone, a month", 71)


def tighten() -> None:
    """Set the limits by what the month has come to, whatever its day: one is almost used up."""
    for name, percent in (*TIGHT, EVERYONE):
        policy = BudgetPolicy.objects.get(name=name)
        used = policy.windows.order_by("-starts_at")[0].consumed
        whole = max(1, round(used * 100 / percent / DOLLAR)) * DOLLAR
        policy.hard_limit = max(whole, used + DOLLAR // 20)
        policy.soft_limit = policy.hard_limit * 3 // 4
        policy.save()
