"""A team at a glance: the right numbers, and no more queries with more rows."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from governance import keys
from governance.approvals import decide, request_more
from governance.budgets import Subject
from governance.ledger import open_window
from governance.models import ApiKey, Approval, BudgetPolicy, CallStatus, Team
from governance.snapshot import policy_entry
from palyra_site.team import SHOWN_PENDING
from providers.identifiers import new_id
from scheduling.models import CronJob, RunStatus
from tests.api.sides import make_job
from tests.support.factories import make_policy, make_team
from tests.team.conftest import DOLLAR, People
from tests.team.rows import make_call, make_run

HOME = reverse("team:home", args=["blue"])
# Session and person, access, switching, policies and windows, calls, runs, requests, raisable.
MOST_QUERIES = 16


def _use(policy: BudgetPolicy, team: Team, now: datetime, *, consumed: int, held: int) -> None:
    entry = policy_entry(policy)
    window = open_window(entry, entry.window(Subject(team_id=team.pk, call_id=new_id()), now))
    window.consumed, window.held = consumed, held
    window.save()


def _text(client: Client, where: str = HOME) -> str:
    """The page's words, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", client.get(where).content.decode()).split())


def test_a_budget_shows_its_numbers(
    member: Client, policy: BudgetPolicy, team: Team, people: People, now: datetime
) -> None:
    _use(policy, team, now, consumed=2_500_000_000, held=500_000_000)
    asked = request_more(
        team=team, policy=policy, requested_by=people.member, amount=DOLLAR, reason="x", now=now
    )
    decide(approval_id=asked.pk, decided_by=people.superuser, approve=True, comment="Yes.", now=now)
    shown = _text(member)
    assert "$2.50 of $11.00 this month" in shown
    assert "Consumed $2.50" in shown
    assert "Held for calls under way $0.50" in shown
    assert "Left $8.00" in shown
    assert "Stops calls at $11.00, warns from $8.00." in shown
    assert "Raised by $1.00 by what was approved." in shown
    assert "Within limits" in shown
    assert "Yes." in shown


@pytest.mark.parametrize(
    ("consumed", "words"),
    [
        (7 * DOLLAR, "Within limits"),
        (8 * DOLLAR, "Past soft limit"),
        (10 * DOLLAR, "At hard limit"),
    ],
)
def test_a_budget_says_where_it_stands(
    member: Client, policy: BudgetPolicy, team: Team, consumed: int, words: str
) -> None:
    _use(policy, team, timezone.now(), consumed=consumed, held=0)
    assert words in _text(member)


def test_a_budget_that_only_warns_says_so_and_offers_no_more(member: Client, team: Team) -> None:
    make_policy(name="Watch", team=team, metric="tokens", soft_limit=1000, interval="day")
    shown = _text(member)
    assert "0 of 1,000 tokens today" in shown
    assert "Only warns, from 1,000 tokens; it stops nothing." in shown
    assert "Ask for more" not in shown


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "block"}, "Stops calls at 500 tokens."),
        ({"action": "alert"}, "Only alerts past 500 tokens; it stops nothing."),
        (
            {"action": "degrade"},
            "Goes to a cheaper model past 500 tokens, and stops calls that none fits.",
        ),
        ({"action": "approval"}, "Needs approval past 500 tokens."),
        ({"interval": "total"}, "0 of 500 tokens in total"),
        ({"interval": "minute"}, "0 of 500 tokens this minute"),
        ({"interval": "run"}, "0 of 500 tokens in one run"),
        ({"interval": "hour", "rolling": True}, "0 of 500 tokens in the last hour"),
        ({"interval": "year", "rolling": True}, "0 of 500 tokens in the last 365 days"),
        ({"interval": "hour", "rolling": True}, "Has room again in"),
        ({"scope": "team", "team": None}, "Counts Blue Team."),
        ({"scope": "model"}, "Counts each model."),
        ({"scope": "global", "team": None}, "Counts everyone together."),
    ],
)
def test_a_budget_says_whose_calls_how_long_and_what_then(
    member: Client, team: Team, fields: dict[str, Any], words: str
) -> None:
    make_policy(**{"team": team, "metric": "tokens", "hard_limit": 500, **fields})
    assert words in _text(member)


def test_a_reset_is_shown_in_the_teams_zone(member: Client, team: Team) -> None:
    make_policy(name="Yearless", team=team, interval="day", zone="UTC", hard_limit=DOLLAR)
    page = member.get(HOME).content.decode()
    # Midnight UTC is one or two o'clock in Prague.
    assert "01:00</time>" in page or "02:00</time>" in page
    assert "00:00:00 UTC" in page


def test_other_teams_budgets_are_not_shown(member: Client, team: Team) -> None:
    other = make_team()
    make_policy(name="Theirs", team=other)
    make_policy(name="For each")
    shown = _text(member)
    assert "Theirs" not in shown
    assert "For each" in shown


def test_calls_and_runs_say_who_and_what(
    member: Client, people: People, key: ApiKey, job: CronJob, now: datetime
) -> None:
    team = job.team
    make_call(team=team, api_key=key)
    make_call(team=team, user=people.manager, status=CallStatus.FAILED, cost=None)
    make_call(team=team, job_id=job.pk, admitted_at=now - timedelta(hours=2))
    make_run(job, slot=now - timedelta(minutes=3))
    make_run(job, slot=now, status=RunStatus.BLOCKED_BY_BUDGET, cost=None)
    shown = _text(member)
    assert f"Billing Key …{key.last_four}" in shown
    assert "manager Person" in shown
    assert "Digest Schedule" in shown
    assert "2 hours ago" in shown
    assert "Blocked by budget" in shown
    assert "$0.0025" in shown


def test_an_empty_team_is_told_what_to_do_first(member: Client, team: Team) -> None:
    page = member.get(HOME).content.decode()
    assert "No budget applies to this team" in page
    assert page.count(reverse("team:schedule-create", args=["blue"])) == 2
    assert page.count(reverse("team:key-create", args=["blue"])) == 2


def test_a_disabled_team_is_told_so(member: Client, team: Team) -> None:
    team.enabled = False
    team.save()
    assert "This team is disabled" in _text(member)


def test_more_rows_make_no_more_queries(
    member: Client, people: People, key: ApiKey, job: CronJob, now: datetime
) -> None:
    team = job.team

    def fill(count: int) -> None:
        for number in range(count):
            at = now - timedelta(minutes=number)
            make_call(team=team, api_key=key, admitted_at=at)
            make_call(team=team, job_id=job.pk, admitted_at=at)
            make_run(job, slot=at, trigger="manual")
            budget = make_policy(team=team)
            request_more(
                team=team, policy=budget, requested_by=people.member, amount=1, reason="x", now=now
            )

    fill(2)
    with CaptureQueriesContext(connection) as few:
        member.get(HOME)
    fill(10)
    with CaptureQueriesContext(connection) as many:
        assert member.get(HOME).status_code == 200
    assert len(many) == len(few) <= MOST_QUERIES


def test_of_many_requests_the_latest_are_shown(member: Client, team: Team) -> None:
    for number in range(SHOWN_PENDING + 2):
        Approval.objects.create(
            team=team, policy=make_policy(team=team), amount=1, reason=f"Number {number}."
        )
    shown = _text(member)
    assert shown.count("Number ") == SHOWN_PENDING
    assert f"Number {SHOWN_PENDING + 1}." in shown


def test_budgets_of_others_are_neither_shown_nor_asked_about(
    member: Client, team: Team, red: Team, people: People
) -> None:
    for name, scope, value in (
        ("My own", "user", str(people.member.pk)),
        ("Colleague", "user", str(people.manager.pk)),
        ("Outsider", "user", str(people.outsider.pk)),
        ("Their key", "api_key", str(keys.create(team=red, name="theirs").record.pk)),
        ("Their job", "job", str(make_job(red).pk)),
    ):
        make_policy(name=name, scope=scope, value=value)
    make_policy(name="Their session", scope="session", team=red, value=f"{red.pk}:chat")
    for page in (HOME, reverse("team:request-create", args=["blue"])):
        shown = _text(member, page)
        assert "My own" in shown
        for name in ("Colleague", "Outsider", "Their key", "Their job", "Their session"):
            assert name not in shown


def test_members_are_told_whether_their_words_are_kept(member: Client, team: Team) -> None:
    assert "are kept for" not in _text(member)
    Team.objects.filter(pk=team.pk).update(text_days=30)
    assert "Prompts and answers of this team's calls are kept for 30 days." in _text(member)
