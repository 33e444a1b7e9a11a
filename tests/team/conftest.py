"""A team with a manager and a member, another with an outsider, and one of each of its things."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, BudgetPolicy, Membership, MembershipRole, Team
from providers.models import ProviderModel
from scheduling import jobs
from scheduling.models import CronJob
from tests.support.factories import make_model, make_policy, make_team

DOLLAR = 10**9


@dataclass(frozen=True, slots=True)
class People:
    """The personas: who may do what is tested on each."""

    manager: User
    member: User
    outsider: User
    superuser: User


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def team(db: None) -> Team:
    return make_team(slug="blue", name="Blue Team", zone="Europe/Prague")


@pytest.fixture
def red(db: None) -> Team:
    return make_team(slug="red", name="Red Team")


@pytest.fixture
def people(team: Team, red: Team) -> People:
    people = People(
        manager=User.objects.create_user("manager"),
        member=User.objects.create_user("member"),
        outsider=User.objects.create_user("outsider"),
        superuser=User.objects.create_superuser("superuser"),
    )
    Membership.objects.create(team=team, user=people.manager, role=MembershipRole.MANAGER)
    Membership.objects.create(team=team, user=people.member)
    Membership.objects.create(team=red, user=people.outsider, role=MembershipRole.MANAGER)
    return people


@pytest.fixture
def member(client: Client, people: People) -> Client:
    """A browser in which the member is signed in."""
    client.force_login(people.member)
    return client


@pytest.fixture
def manager(people: People) -> Client:
    """A browser in which the manager is signed in."""
    client = Client()
    client.force_login(people.manager)
    return client


@pytest.fixture
def outsider(people: People) -> Client:
    """A browser in which a manager of another team is signed in."""
    client = Client()
    client.force_login(people.outsider)
    return client


@pytest.fixture
def model(db: None) -> ProviderModel:
    return make_model(name="small")


@pytest.fixture
def policy(team: Team) -> BudgetPolicy:
    return make_policy(
        name="Blue monthly", team=team, soft_limit=8 * DOLLAR, hard_limit=10 * DOLLAR
    )


@pytest.fixture
def key(team: Team, people: People) -> ApiKey:
    """A key the manager made."""
    return keys.create(team=team, name="Billing", created_by=people.manager).record


@pytest.fixture
def job(team: Team, people: People, now: datetime) -> CronJob:
    return jobs.create_job(
        team=team,
        name="Digest",
        schedule_kind="cron",
        cron="0 9 * * MON",
        zone="Europe/Prague",
        prompt="Summarise the week.",
        created_by=people.manager,
        now=now,
    )
