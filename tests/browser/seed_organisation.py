"""Who and what there is: people, teams and keys, providers, models and prices, processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.utils import timezone

from governance import keys
from governance.models import (
    ApiKey,
    Membership,
    Price,
    ProcessHeartbeat,
    Team,
    governance_settings,
)
from palyra_site.access.groups import give_role
from palyra_site.access.roles import Role
from providers.models import (
    Credential,
    Provider,
    ProviderKind,
    ProviderMetric,
    ProviderModel,
    Secret,
    failover_policy,
)
from tests.browser.console import ADMINISTRATOR, MEMBER, OPERATOR, PASSWORD, VIEWER
from tests.browser.seed_ledger import DAYS

DOLLAR = 10**9


def add_people() -> tuple[User, User, User]:
    """An administrator, somebody who may look at everything, and a member of teams."""
    administrator = User.objects.create_superuser(
        ADMINISTRATOR, "ada@example.com", PASSWORD, first_name="Ada", last_name="Novak"
    )
    viewer = User.objects.create_user(
        VIEWER, "victor@example.com", PASSWORD, first_name="Victor", is_staff=True
    )
    give_role(viewer, Role.AUDITOR)
    operator = User.objects.create_user(
        OPERATOR, "oscar@example.com", PASSWORD, first_name="Oscar", last_name="Lind"
    )
    give_role(operator, Role.OPERATOR)
    Group.objects.create(name="On call")
    member = User.objects.create_user(
        MEMBER, "mira@example.com", PASSWORD, first_name="Mira", last_name="Okafor"
    )
    return administrator, viewer, member


def add_teams(member: User) -> tuple[Team, ...]:
    """Two teams that `member` manages, and one that is not theirs."""
    teams = tuple(
        Team.objects.create(slug=slug, name=name, zone=zone)
        for slug, name, zone in (
            ("support", "Customer support", "Europe/Prague"),
            ("research", "Research", "Europe/Prague"),
            ("billing", "Billing", "America/New_York"),
        )
    )
    # All there is now, but nothing that is added elsewhere.
    teams[1].allowed_models = ["in-house/*", "openai/*"]
    teams[1].routing_mode = "dry_run"
    teams[1].save()
    for team in teams[:2]:
        Membership.objects.create(team=team, user=member, role="manager")
    return teams


def register_providers(now: datetime) -> None:
    """A host with a key, one without, and one that is switched off, each model with its price."""
    secret = Secret(name="openai-production")
    secret.set_text("sk-demo-0123456789abcdefghij")
    secret.save()
    openai = Provider.objects.create(
        name="openai",
        display_name="OpenAI",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="https://api.openai.com/v1",
    )
    Credential.objects.create(provider=openai, secret=secret)
    elsewhere = Secret(name="openai-spare")
    elsewhere.set_reference("env:OPENAI_SPARE_KEY")
    elsewhere.save()
    Credential.objects.create(provider=openai, secret=elsewhere, position=1, enabled=False)
    house = Provider.objects.create(
        name="in-house",
        display_name="In-house GPUs",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://models.internal:8000/v1",
        allow_private_base_url=True,
    )
    failover_policy()
    governance_settings()
    Provider.objects.create(name="rehearsal", kind=ProviderKind.DETERMINISTIC, enabled=False)
    for provider, name, default, rates in (
        (openai, "gpt-4.1", False, ("2", "8")),
        (openai, "gpt-4.1-mini", True, ("0.4", "1.6")),
        (house, "llama-3.3-70b", False, ("0.2", "0.2")),
    ):
        model = ProviderModel.objects.create(
            provider=provider, name=name, is_default=default, max_output_tokens=4096
        )
        paid, answered = (int(float(rate) * DOLLAR) for rate in rates)
        Price.objects.create(
            model=model,
            effective_from=now - timedelta(days=DAYS + 10),
            uncached_input=paid,
            output=answered,
            cache_read=paid // 4 if provider is openai else None,
            source="price list",
        )


def add_reliability(now: datetime) -> None:
    """What a day of attempts at OpenAI came to, with an hour in which it was overloaded."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    openai = Provider.objects.get(name="openai")
    ProviderMetric.objects.bulk_create(
        ProviderMetric(
            provider=openai,
            model="gpt-4.1-mini",
            hour=hour - timedelta(hours=ago),
            attempts=20 + ago % 5 * 9,
            failures={"rate_limited": 7} if ago == 4 else {"transient_upstream": 1},
            latency={str(30 + ago % 4): 13},
        )
        for ago in range(20)
    )


def add_keys(teams: tuple[Team, ...], by: User, now: datetime) -> list[ApiKey]:
    """One for each team, in their order, and one that is revoked."""
    made = [
        keys.create(team=team, name=name, created_by=by, expires_at=expires).record
        for team, name, expires in (
            (teams[0], "Helpdesk widget", now + timedelta(days=80)),
            (teams[1], "Notebook server", None),
            (teams[2], "Invoice reader", now + timedelta(days=20)),
            (teams[0], "Old helpdesk", None),
        )
    ]
    keys.revoke(made[-1], now=now - timedelta(days=3))
    return made


def add_processes(now: datetime) -> dict[str, ProcessHeartbeat]:
    """One of each role, alive."""
    return {
        role: ProcessHeartbeat.objects.create(
            id=uuid4(),
            role=role,
            host="palyra-1",
            pid=4100 + number,
            started_at=now - timedelta(hours=30, minutes=number),
            seen_at=now,
        )
        for number, role in enumerate(("web", "worker", "scheduler"))
    }


def keep_alive() -> None:
    """Have the seeded processes be heard of now."""
    ProcessHeartbeat.objects.update(seen_at=timezone.now())
